package fogbank

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fogbank/compute"
	"fogbank/egress"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The defaults every client's examples assume.
const (
	DefaultRegion  = "us-east-1"
	DefaultAccount = "000000000000"
	DefaultListen  = "127.0.0.1:4566"
)

// Config is all there is to configure. Its zero value runs: in memory, on
// loopback. Every field with a help tag is a flag of "fogbank up" (DataDir:
// -data-dir, or the name tag) and an environment variable (FOGBANK_DATA_DIR).
type Config struct {
	Data        string `name:"data" help:"directory for everything that must survive; empty: in memory"`
	Listen      string `help:"address to serve, host:port (default 127.0.0.1:4566)"`
	Region      string `help:"region of calls that name none (default us-east-1)"`
	Account     string `help:"account of the root key test/test (default 000000000000)"`
	RootKeyFile string `help:"file with the root access key, \"ID SECRET\" on one line; replaces test/test for good"`
	TLSCert     string `help:"PEM certificate chain: serve HTTPS"`
	TLSKey      string `help:"PEM key of the certificate"`
	InitDir     string `help:"directory whose ready.d scripts run once the server is ready"`
	LogLevel    string `help:"debug, info, warn or error (default info)"`

	RecoveryDays string `help:"longest point-in-time recovery of DynamoDB tables, in days, 1 to 35 (default 35)"`

	Throughput string `name:"dynamodb-throughput" help:"whether DynamoDB tables of billing mode PROVISIONED are held to their throughput: enforced (the default) or unlimited"`

	Conflicts string `name:"dynamodb-conflicts" help:"what becomes of DynamoDB transactions and writes that meet an ongoing transaction: cancel (the default), as in AWS, or wait for it"`

	Transitions string `name:"dynamodb-transitions" help:"how long DynamoDB tables and global indexes stay CREATING, UPDATING and DELETING, and backups and restores take, such as 5s (default 0s: until its answer, so that waiters need not wait)"`

	Audit string `help:"on: calls that manage resources become events of the default event bus, as CloudTrail's do (default off)"`

	EgressAllow      string `help:"addresses and prefixes, separated by commas, that deliveries may go to although they are no public ones; \"loopback\" for this machine, which is the default of a loopback listener"`
	EgressRoots      string `help:"file of PEM certificates of authorities to trust in https endpoints and the mail relay, instead of the machine's"`
	SMTPRelay        string `name:"smtp-relay" help:"relay for mail, smtp://user@host:587 or smtps://user@host:465; empty: mail goes to the outbox"`
	SMTPPasswordFile string `name:"smtp-password-file" help:"file with the password of the relay's user"`
	SMTPFrom         string `name:"smtp-from" help:"address mail comes from (default no-reply@sns.amazonaws.com)"`
	SMSGateway       string `name:"sms-gateway" help:"URL that text messages are posted to as JSON; empty: they go to the outbox"`
	PushGateway      string `help:"URL that mobile pushes are posted to as JSON; empty: they go to the outbox"`

	FunctionNetwork string `help:"what functions may reach besides this server: public (the default), none, or the public addresses and these: 10.1.0.0/16,192.168.0.7"`

	UnsafeFunctions bool `help:"run functions as plain processes where this machine cannot isolate them; otherwise they are refused there"`

	HotReload string `help:"directories, separated by commas, below which functions may have their code (S3Bucket hot-reload, S3Key the directory); changes take effect at the next invocation"`

	// FunctionEndpoint is the URL at which functions reach the server; empty: Endpoint. A server of HTTPS has
	// another listener for them, since they know neither its name nor who signed its certificate.
	FunctionEndpoint string

	// For embedding and tests.
	FS        vfs.FS         // the file system the store's directory is in; nil: the machine's
	World     *world.World   // time and chance; nil: the real ones
	Functions compute.Runner // runs functions; nil: processes of this machine
	Network   egress.Network // the way out; nil: the machine's network, guarded
	Log       *slog.Logger   // nil: nothing is logged
}

// Flags defines a flag for each setting, whose default comes from the environment.
func (c *Config) Flags(f *flag.FlagSet, getenv func(string) string) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		help, ok := field.Tag.Lookup("help")
		if !ok {
			continue
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = dashed(field.Name)
		}
		env := "FOGBANK_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		help += " [" + env + "]"
		switch p := v.Field(i).Addr().Interface().(type) {
		case *bool:
			on, err := strconv.ParseBool(getenv(env))
			f.BoolVar(p, name, err == nil && on, help)
		case *string:
			f.StringVar(p, name, getenv(env), help)
		}
	}
}

// dashed turns RootKeyFile into root-key-file and TLSCert into tls-cert.
func dashed(name string) string {
	var b strings.Builder
	r := []rune(name)
	for i, c := range r {
		if i > 0 && unicode.IsUpper(c) && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// What Config.Throughput may be.
const (
	throughputEnforced  = "enforced"
	throughputUnlimited = "unlimited"
)

// What Config.Conflicts may be.
const (
	conflictsCancel = "cancel"
	conflictsWait   = "wait"
)

// maxTransitions is the longest Config.Transitions.
const maxTransitions = time.Hour

var (
	accountForm = regexp.MustCompile(`^\d{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
)

// complete fills in defaults and refuses what cannot work.
func (c *Config) complete() error {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Listen, DefaultListen)
	def(&c.Region, DefaultRegion)
	def(&c.Account, DefaultAccount)
	if !accountForm.MatchString(c.Account) {
		return fmt.Errorf("account %q is not twelve digits", c.Account)
	}
	if !regionForm.MatchString(c.Region) {
		return fmt.Errorf("region %q does not look like us-east-1", c.Region)
	}
	def(&c.RecoveryDays, "35")
	if days := c.recoveryDays(); days < 1 || days > 35 {
		return fmt.Errorf("recovery-days %q is not a number from 1 to 35", c.RecoveryDays)
	}
	def(&c.Throughput, throughputEnforced)
	if c.Throughput != throughputEnforced && c.Throughput != throughputUnlimited {
		return fmt.Errorf("dynamodb-throughput %q is neither %s nor %s", c.Throughput, throughputEnforced, throughputUnlimited)
	}
	def(&c.Conflicts, conflictsCancel)
	if c.Conflicts != conflictsCancel && c.Conflicts != conflictsWait {
		return fmt.Errorf("dynamodb-conflicts %q is neither %s nor %s", c.Conflicts, conflictsCancel, conflictsWait)
	}
	def(&c.Transitions, "0s")
	if d, err := time.ParseDuration(c.Transitions); err != nil || d < 0 || d > maxTransitions {
		return fmt.Errorf("dynamodb-transitions %q is not a duration from 0s to %s", c.Transitions, maxTransitions)
	}
	def(&c.Audit, "off")
	if c.Audit != "on" && c.Audit != "off" {
		return fmt.Errorf("audit %q is neither on nor off", c.Audit)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert and tls-key go together")
	}
	def(&c.FunctionEndpoint, c.Endpoint())
	if c.World == nil {
		c.World = world.New()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// transitions is Transitions, once complete has checked it.
func (c *Config) transitions() time.Duration {
	d, _ := time.ParseDuration(c.Transitions)
	return d
}

// recoveryDays is RecoveryDays as a number; 0, which complete refuses, when it is none.
func (c *Config) recoveryDays() int {
	days, err := strconv.Atoi(c.RecoveryDays)
	if err != nil {
		return 0
	}
	return days
}

// Loopback reports whether only this machine can reach the listener.
func (c *Config) Loopback() bool {
	listen := c.Listen
	if listen == "" {
		listen = DefaultListen
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Endpoint is the URL at which processes of this machine reach the listener.
func (c *Config) Endpoint() string {
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	listen := c.Listen
	if listen == "" {
		listen = DefaultListen
	}
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		listen = net.JoinHostPort("127.0.0.1", port)
	}
	return scheme + "://" + listen
}

// network returns the way out, and what closes it.
func (c *Config) network() (egress.Network, func() error, error) {
	if c.Network != nil {
		return c.Network, func() error { return nil }, nil
	}
	o := egress.Options{World: c.World, Allow: c.EgressAllow, Local: c.Loopback(), Relay: c.SMTPRelay, From: c.SMTPFrom}
	if c.SMTPPasswordFile != "" {
		b, err := os.ReadFile(c.SMTPPasswordFile)
		if err != nil {
			return nil, nil, fmt.Errorf("smtp-password-file: %w", err)
		}
		o.Password = strings.TrimRight(string(b), "\r\n")
	}
	if c.EgressRoots != "" {
		b, err := os.ReadFile(c.EgressRoots)
		if err != nil {
			return nil, nil, fmt.Errorf("egress-roots: %w", err)
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(b) {
			return nil, nil, fmt.Errorf("egress-roots: no certificate in %s", c.EgressRoots)
		}
	}
	for name, url := range map[string]string{"sms-gateway": c.SMSGateway, "push-gateway": c.PushGateway} {
		if url != "" && egress.CheckURL(url) != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, egress.CheckURL(url))
		}
	}
	client, err := egress.New(o)
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// rootKey reads the root key file.
func (c *Config) rootKey() (id, secret string, err error) {
	info, err := os.Stat(c.RootKeyFile)
	if err != nil {
		return "", "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", "", fmt.Errorf("%s may be read by others: chmod 600", c.RootKeyFile)
	}
	b, err := os.ReadFile(c.RootKeyFile)
	if err != nil {
		return "", "", err
	}
	f := strings.Fields(string(b))
	if len(f) != 2 || len(f[0]) < 16 || len(f[1]) < 32 {
		return "", "", fmt.Errorf("%s should hold an access key id (16 characters or more) and a secret (32 or more) on one line", c.RootKeyFile)
	}
	return f[0], f[1], nil
}

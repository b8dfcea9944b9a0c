package compute

import (
	"context"
	"embed"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// bootstraps are our runtimes for interpreted languages.
//
//go:embed bootstrap/bootstrap.py bootstrap/bootstrap.cjs bootstrap/bootstrap.rb bootstrap/Bootstrap.java
var bootstraps embed.FS

// Where an environment finds things, as in AWS.
const (
	taskRoot   = "/var/task"
	runtimeDir = "/var/runtime"
	optDir     = "/opt"
)

// places are where an environment finds things: those of AWS, or the host's own where nothing is bound.
// proxy is the URL of the way out, "" when there is none.
type places struct{ task, runtime, opt, tmp, proxy string }

// program is how a runtime is started.
type program struct {
	argv   []string
	binds  []string // directories of the host it needs beyond the system's own
	notice string   // a line for the log where it is not quite the runtime asked for
	// version is that of the host's interpreter, "" where none is needed.
	version string
}

// interpreter is one found on the host.
type interpreter struct {
	path, prefix, version string
	bootstrap             string // the file of our runtime it starts with
}

// Supported says whether this host can run a runtime, and if not, why.
func (p *Process) Supported(runtime string) error {
	if err := p.refusal(); err != nil {
		return err
	}
	_, err := p.program(runtime, taskRoot, runtimeDir)
	return err
}

// Runs says with what this host runs a runtime, or why it does not.
func (p *Process) Runs(runtime string) (string, error) {
	if err := p.refusal(); err != nil {
		return "", err
	}
	g, err := p.program(runtime, taskRoot, runtimeDir)
	if err != nil || g.version == "" {
		return "yes", err
	}
	return "yes, with " + g.version, nil
}

// program finds how to start a runtime whose code is at task and whose bootstrap is below dir.
func (p *Process) program(runtime, task, dir string) (program, error) {
	if strings.HasPrefix(runtime, "provided") {
		return program{argv: []string{task + "/bootstrap"}}, nil
	}
	version, isPython := strings.CutPrefix(runtime, "python")
	if isPython {
		in, err := p.interpreter("python", "python"+version, "python3", "python")
		if err != nil {
			return program{}, err
		}
		return in.program(runtime, version, "Python", in.path, "-S", dir+"/"+in.bootstrap), nil
	}
	if major, ok := strings.CutPrefix(runtime, "nodejs"); ok {
		in, err := p.interpreter("node", "node"+strings.TrimSuffix(major, ".x"), "node", "nodejs")
		if err != nil {
			return program{}, err
		}
		return in.program(runtime, strings.TrimSuffix(major, ".x"), "Node.js", in.path, dir+"/bootstrap.cjs"), nil
	}
	if version, ok := strings.CutPrefix(runtime, "ruby"); ok {
		in, err := p.interpreter("ruby", "ruby"+version, "ruby")
		if err != nil {
			return program{}, err
		}
		return in.program(runtime, version, "Ruby", in.path, "--disable=did_you_mean,error_highlight", dir+"/bootstrap.rb"), nil
	}
	if version, ok := strings.CutPrefix(runtime, "java"); ok {
		in, err := p.interpreter("java", "java")
		if err != nil {
			return program{}, err
		}
		return in.java(runtime, strings.TrimSuffix(version, ".al2"), task, dir), nil
	}
	return program{}, fmt.Errorf("the runtime %s is not supported here: only provided.al2, provided.al2023, and python, nodejs, ruby and java where they are installed", runtime)
}

func (in interpreter) program(runtime, wanted, language string, argv ...string) program {
	g := program{argv: argv, binds: []string{in.prefix}, version: language + " " + in.version}
	if in.version != wanted && !strings.HasPrefix(in.version, wanted+".") {
		g.notice = fmt.Sprintf("fogbank: %s runs on %s %s of this host", runtime, language, in.version)
	}
	return g
}

// java is program for Java: the class path is that of AWS.
func (in interpreter) java(runtime, wanted, task, dir string) program {
	class := strings.Join([]string{dir + "/" + in.bootstrap, task, task + "/lib/*", optDir + "/java/lib/*"}, ":")
	g := in.program(runtime, wanted, "Java", in.path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-cp", class, "Bootstrap")
	// Debian keeps what Java is configured by elsewhere.
	if conf, err := filepath.EvalSymlinks(filepath.Join(in.prefix, "conf", "security", "java.security")); err == nil {
		g.binds = append(g.binds, filepath.Dir(filepath.Dir(conf)))
	}
	return g
}

// interpreter finds the first of the names that can be run, and remembers it.
func (p *Process) interpreter(kind string, names ...string) (interpreter, error) {
	p.mu.Lock()
	in, ok := p.interpreters[names[0]]
	p.mu.Unlock()
	if ok {
		return in, nil
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if in, err = ask(path, kind); err != nil {
			continue
		}
		switch kind {
		case "python":
			in.bootstrap = in.compile(p.runtime, "bootstrap.py")
		case "java":
			if in.bootstrap, err = in.compileJava(p.runtime); err != nil {
				return interpreter{}, err
			}
		}
		p.mu.Lock()
		p.interpreters[names[0]] = in
		p.mu.Unlock()
		return in, nil
	}
	return interpreter{}, fmt.Errorf("no %s interpreter is installed on this host (looked for %s)", kind, strings.Join(names, ", "))
}

// ask runs an interpreter, which may be a shim, to learn where it really is.
func ask(path, kind string) (interpreter, error) {
	args := []string{"-c", "import sys; print(sys.executable); print(sys.base_prefix); print('%d.%d.%d' % sys.version_info[:3])"}
	switch kind {
	case "ruby":
		args = []string{"-e", "puts RbConfig.ruby, RbConfig::CONFIG['prefix'], RUBY_VERSION"}
	case "java":
		return askJava(path)
	case "node":
		args = []string{"-p", "[process.execPath, require('path').resolve(process.execPath, '../..'), process.versions.node].join('\\n')"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), initLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		return interpreter{}, fmt.Errorf("compute: %s answered %q", path, out)
	}
	return interpreter{path: lines[0], prefix: lines[1], version: lines[2]}, nil
}

// askJava runs Java to learn where it really is.
func askJava(path string) (interpreter, error) {
	ctx, cancel := context.WithTimeout(context.Background(), initLimit)
	defer cancel()
	c := exec.CommandContext(ctx, path, "-XshowSettings:properties", "-version")
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	out, err := c.CombinedOutput()
	if err != nil {
		return interpreter{}, err
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(line, " = "); ok {
			settings[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	home, version := settings["java.home"], settings["java.version"]
	if home == "" || version == "" {
		return interpreter{}, fmt.Errorf("compute: %s does not say where it is", path)
	}
	return interpreter{path: filepath.Join(home, "bin", "java"), prefix: home, version: version}, nil
}

// compileJava makes of our runtime in Java the classes it starts with; it returns the directory's name.
func (in interpreter) compileJava(dir string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), compileLimit)
	defer cancel()
	classes, temporary := "java-"+in.version, filepath.Join(dir, "new-java-"+strconv.FormatInt(compilations.Add(1), 10))
	defer os.RemoveAll(temporary)
	c := exec.CommandContext(ctx, filepath.Join(in.prefix, "bin", "javac"), "-d", temporary, filepath.Join(dir, "Bootstrap.java"))
	c.Env = []string{}
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("functions in Java need a JDK, since their runtime is compiled: %w %s", err, out)
	}
	made, err := filepath.Glob(temporary + "/*")
	if err != nil {
		return "", err
	}
	for _, f := range made {
		if err := os.Chmod(f, 0o644); err != nil { // functions run as another user
			return "", err
		}
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return "", err
	}
	// Whoever was first to compile it has made the same.
	if err := os.Rename(temporary, filepath.Join(dir, classes)); err != nil && !isThere(dir, classes) {
		return "", err
	}
	return classes, nil
}

// compilations number the directories compilers write to.
var compilations atomic.Int64

// compileLimit is how long a compiler may take.
const compileLimit = time.Minute

// compile makes of one of our runtimes in Python what the interpreter need not compile at every start; it returns the
// name of the file to start with.
func (in interpreter) compile(dir, name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), initLimit)
	defer cancel()
	compiled := name + "-" + in.version + ".pyc"
	c := exec.CommandContext(ctx, in.path, "-S", "-c", "import py_compile, sys; py_compile.compile(*sys.argv[1:], doraise=True)", filepath.Join(dir, name), filepath.Join(dir, compiled))
	c.Env = []string{}
	if c.Run() != nil || os.Chmod(filepath.Join(dir, compiled), 0o644) != nil {
		return name
	}
	return compiled
}

// writeBootstraps puts our runtimes into dir.
func writeBootstraps(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := bootstraps.ReadDir("bootstrap")
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := bootstraps.ReadFile("bootstrap/" + e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// vCPU is the MemorySize, in MB, that comes with one processor.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
const vCPU = 1769

// environ is everything an environment's process finds in its environment: nothing is inherited.
func environ(s Spec, api string, at places) []string {
	task, dir, opt := at.task, at.runtime, at.opt
	libs := []string{"/lib64", "/usr/lib64", dir, dir + "/lib", task, task + "/lib", opt + "/lib"}
	kind := s.Initialization
	if kind == "" {
		kind = "on-demand"
	}
	v := map[string]string{
		"LANG": "en_US.UTF-8", "TZ": ":UTC",
		"PATH":            "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:" + opt + "/bin",
		"LD_LIBRARY_PATH": strings.Join(libs, ":"),
	}
	if s.MemoryMB < vCPU && strings.HasPrefix(s.Runtime, "provided") {
		// A program in Go would otherwise spread over processors it has no share of, and wake its threads all the time:
		// a quarter of what a short invocation costs.
		v["GOMAXPROCS"] = "1"
	}
	if at.tmp != "/tmp" {
		v["TMPDIR"] = at.tmp
	}
	if _, ok := strings.CutPrefix(s.Runtime, "python"); ok && len(s.Layers) > 0 {
		v["PYTHONPATH"] = opt + "/python/lib/" + s.Runtime + "/site-packages:" + opt + "/python"
	}
	if major, ok := strings.CutPrefix(s.Runtime, "nodejs"); ok {
		v["NODE_PATH"] = opt + "/nodejs/node" + strings.TrimSuffix(major, ".x") + "/node_modules:" + opt + "/nodejs/node_modules:" + dir + "/node_modules"
	}
	if version, ok := strings.CutPrefix(s.Runtime, "ruby"); ok {
		v["GEM_PATH"] = task + "/vendor/bundle/ruby/" + version + ".0:" + opt + "/ruby/gems/" + version + ".0"
		v["RUBYLIB"] = task + ":" + dir + "/lib:" + opt + "/ruby/lib"
	}
	if !strings.HasPrefix(s.Runtime, "provided") {
		v["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + s.Runtime
	}
	if s.Endpoint != "" {
		v["AWS_ENDPOINT_URL"] = s.Endpoint
	}
	if at.proxy != "" {
		addProxy(v, at.proxy, s)
	}
	for k, val := range s.Variables {
		v[k] = val
	}
	for k, val := range map[string]string{
		"AWS_LAMBDA_RUNTIME_API": api, "_HANDLER": s.Handler,
		"LAMBDA_TASK_ROOT": task, "LAMBDA_RUNTIME_DIR": dir,
		"AWS_REGION": s.Region, "AWS_DEFAULT_REGION": s.Region,
		"AWS_LAMBDA_FUNCTION_NAME": s.Name, "AWS_LAMBDA_FUNCTION_VERSION": s.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(s.MemoryMB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       s.LogGroup, "AWS_LAMBDA_LOG_STREAM_NAME": s.LogStream,
		"AWS_LAMBDA_INITIALIZATION_TYPE": kind,
		"AWS_ACCESS_KEY_ID":              s.Credentials.KeyID, "AWS_SECRET_ACCESS_KEY": s.Credentials.Secret,
		"AWS_SESSION_TOKEN": s.Credentials.Token,
	} {
		v[k] = val
	}
	list := make([]string, 0, len(v))
	for k, val := range v {
		list = append(list, k+"="+val)
	}
	slices.Sort(list)
	return list
}

// addProxy names the way out in the variables that programs look for.
func addProxy(v map[string]string, proxy string, s Spec) {
	direct := "127.0.0.1,localhost"
	if u, err := url.Parse(s.Endpoint); err == nil && u.Hostname() != "" && !strings.Contains(","+direct+",", ","+u.Hostname()+",") {
		direct += "," + u.Hostname()
	}
	for k, val := range map[string]string{"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": direct} {
		v[k], v[strings.ToLower(k)] = val, val
	}
	if strings.HasPrefix(s.Runtime, "nodejs") {
		v["NODE_USE_ENV_PROXY"] = "1"
	}
}

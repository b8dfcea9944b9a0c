package dynamodb

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// copyModel writes a table while it is copied page by page, and knows what it held at some moments.
type copyModel struct {
	*cloud
	r    *rand.Rand
	held map[string]string // what the table holds now: id → v
}

const copiedKeys = 900 // more than a page

func (m *copyModel) write(times int) {
	for range times {
		id, v := fmt.Sprint(m.r.IntN(copiedKeys)), fmt.Sprint(m.r.IntN(1000))
		if m.r.IntN(3) == 0 {
			m.ok("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"`+id+`"}}}`)
			delete(m.held, id)
			continue
		}
		m.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"`+id+`"},"v":{"S":"`+v+`"}}}`)
		m.held[id] = v
	}
}

// copyAll runs the copying there is to do to its end, with writes between the pages.
func (m *copyModel) copyAll() {
	for {
		var ids []store.Key
		err := m.db.View(m.ctx, func(tx *store.Tx) error {
			for id := range copyJobs.All(tx, "") {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
		if len(ids) == 0 {
			return
		}
		for _, id := range ids {
			if _, err := m.s.copyPage(m.ctx, id); err != nil {
				m.t.Fatal(err)
			}
			m.write(40)
		}
	}
}

// check compares a restored table and its index with what the other held.
func (m *copyModel) check(name string, want map[string]string) {
	m.t.Helper()
	got := map[string]string{}
	err := m.db.View(m.ctx, func(tx *store.Tx) error {
		t, err := schemaIn(tx, name)
		if err != nil {
			return err
		}
		entered := 0
		for range entries.All(tx, t.prefix) {
			entered++
		}
		for _, item := range items.All(tx, t.prefix) {
			p, _ := item.Get("p")
			v, _ := item.Get("v")
			got[p.Text()] = v.Text()
		}
		if entered != len(got) {
			m.t.Errorf("%s has %d items and %d entries", name, len(got), entered)
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		m.t.Errorf("%s holds %d items, not the %d it should or others", name, len(got), len(want))
	}
}

// Backups and tables restored to a moment hold what the table held then, though it is written while they are made.
func TestCopiesAreConsistent(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := world.Seeded(seed)
			db := store.Memory(w)
			defer db.Close()
			defer w.Stop()
			call := &aws.Call{Account: "000000000000", Region: "us-east-1", RequestID: "r"}
			m := &copyModel{&cloud{t, New(db, w), db, aws.WithCall(t.Context(), call)}, rand.New(rand.NewPCG(seed, 0)), map[string]string{}}
			m.ok("CreateTable", `{"TableName":"tbl","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"p","KeyType":"HASH"}],
"AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"v","AttributeType":"S"}],
"GlobalSecondaryIndexes":[{"IndexName":"byV","KeySchema":[{"AttributeName":"v","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]}`)
			m.write(1500)
			before := maps.Clone(m.held)
			arn := m.ok("CreateBackup", `{"TableName":"tbl","BackupName":"first"}`, "BackupDetails", "BackupArn").(string)
			m.copyAll()
			m.ok("UpdateContinuousBackups", `{"TableName":"tbl","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`)
			moments := map[int64]map[string]string{}
			for range 4 {
				moments[time.Now().Unix()] = maps.Clone(m.held)
				time.Sleep(time.Second)
				m.write(300)
				moments[time.Now().Unix()] = maps.Clone(m.held)
				time.Sleep(time.Second)
			}
			m.ok("RestoreTableFromBackup", `{"TargetTableName":"fromBackup","BackupArn":"`+arn+`"}`)
			for at := range moments {
				m.ok("RestoreTableToPointInTime", fmt.Sprintf(`{"SourceTableName":"tbl","TargetTableName":"at%d","RestoreDateTime":%d}`, at, at))
			}
			now := maps.Clone(m.held)
			m.ok("RestoreTableToPointInTime", `{"SourceTableName":"tbl","TargetTableName":"latest","UseLatestRestorableTime":true}`)
			m.want("GetItem", `{"TableName":"latest","Key":{"p":{"S":"1"}}}`, "!ResourceNotFoundException: Requested resource not found")
			m.copyAll()
			m.check("fromBackup", before)
			m.check("latest", now)
			for at, held := range moments {
				m.check(fmt.Sprint("at", at), held)
			}
			m.check("tbl", m.held)
		})
	}
}

// storedBackups are one of each stored record of backups, no field empty.
var storedBackups = []struct {
	name  string
	value any
}{
	{"past", &past{version: 300, item: someItem}},
	{"no past", &past{version: 1}},
	{"backup", &backup{ID: 1, ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/t/backup/b", Name: "n", Table: table{ID: 2, Name: "t"}, Created: someTime, Expires: someTime,
		Status: "AVAILABLE", Type: "USER", Count: 3, Bytes: 4, Reading: 5}},
	{"copyJob", &copyJob{ID: 1, Source: copySource{"t", 2, 3, []byte("k\xff")}, Target: copyTarget{"u", 4, []byte("l")}, As: moment{someTime, 5}, Phase: 1, After: []byte("a\x00\xff"), Count: 6, Bytes: 7}},
	{"forgetJob", &forgetJob{"t"}},
	{"recovery", &recovery{someTime, 35}},
	{"restored", &restored{"b", "s", someTime, true}},
}

// TestStoredBackups keeps the stored forms from changing by accident, and checks that they are read back.
func TestStoredBackups(t *testing.T) {
	const file = "testdata/backups.golden"
	var got strings.Builder
	for _, r := range storedBackups {
		again := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
		text := form(t, r.value)
		var err error
		if u, ok := again.(encoding.BinaryUnmarshaler); ok {
			b, _ := hex.DecodeString(text)
			err = u.UnmarshalBinary(b)
		} else {
			err = json.Unmarshal([]byte(text), again)
		}
		if err != nil || form(t, again) != text || !reflect.DeepEqual(again, r.value) && r.name == "copyJob" {
			t.Errorf("%s is read back as %+v, %v", r.name, again, err)
		}
		fmt.Fprintf(&got, "%s %s\n", r.name, text)
	}
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("stored forms changed; keep a reader for the old ones\n got: %s\nwant: %s", got.String(), want)
	}
}

// FuzzPast feeds the reader of history's rows anything.
func FuzzPast(f *testing.F) {
	b, _ := (&past{version: 300, item: someItem}).AppendBinary(nil)
	f.Add(b)
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p past
		if p.UnmarshalBinary(b) == nil && p.item != nil {
			_ = attribute.M(p.item).String()
		}
	})
}

// A backup that was begun before a crash is finished after it.
func TestBackupSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{cloud: &cloud{t: t, ctx: aws.WithCall(t.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1", RequestID: "r"})},
			r: rand.New(rand.NewPCG(1, 1)), disk: vfs.NewMem()}
		m.world = world.Seeded(1)
		db, err := store.Open(store.Options{Dir: "db", FS: m.disk, World: m.world, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		m.db, m.s = db, New(db, m.world) // not started: nobody works
		m.ok("CreateTable", simpleTable+`}`)
		for i := range 2 * atOnce {
			m.ok("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"}}}`, i))
		}
		arn := m.ok("CreateBackup", `{"TableName":"tbl","BackupName":"first"}`, "BackupDetails", "BackupArn").(string)
		err = db.View(m.ctx, func(tx *store.Tx) error {
			for id := range copyJobs.All(tx, "") {
				if _, err := m.s.copyPage(m.ctx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m.ok("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"7"}}}`)
		m.close()
		m.open()
		synctest.Wait()
		if got := m.ok("DescribeBackup", `{"BackupArn":"`+arn+`"}`, "BackupDescription", "BackupDetails", "BackupStatus"); got != "AVAILABLE" {
			t.Errorf("the backup is %v", got)
		}
		if got := m.ok("DescribeBackup", `{"BackupArn":"`+arn+`"}`, "BackupDescription", "SourceTableDetails", "ItemCount"); got != float64(2*atOnce) {
			t.Errorf("it has %v items", got)
		}
		m.close()
	})
}

// Command modelgen writes the packages below api from AWS's published models.
//
// It reads model/services.txt (which services), the api-2.json files inside the
// module github.com/aws/aws-sdk-go (Apache-2.0), and model/overlay (our corrections).
//
//	modelgen ROOT         write ROOT/api
//	modelgen -check ROOT  write nothing; fail when ROOT/api is not what would be written
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail when the committed files differ")
	flag.Parse()
	root := "../.."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	if err := run(root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "modelgen:", err)
		os.Exit(1)
	}
}

// run generates everything and writes it, or compares it when check is set.
func run(root string, check bool) error {
	dir, err := modelDir()
	if err != nil {
		return err
	}
	services, err := readServices(filepath.Join(root, "model", "services.txt"))
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, s := range services {
		if err := generateService(root, dir, s, files); err != nil {
			return fmt.Errorf("%s: %w", s.pkg, err)
		}
	}
	if err := protocolTests(dir, files); err != nil {
		return fmt.Errorf("protocol tests: %w", err)
	}
	if check {
		return compare(root, files)
	}
	return write(root, files)
}

// modelDir finds the pinned module that carries the models.
func modelDir() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/aws/aws-sdk-go").Output()
	if err != nil {
		return "", fmt.Errorf("finding the models: %w", err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", err
	}
	return filepath.Join(m.Dir, "models"), nil
}

// service is a line of services.txt: a package and where its model lies.
type service struct{ pkg, path string }

func readServices(name string) ([]service, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list []service
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("%s: want a package and a model: %q", name, line)
		}
		list = append(list, service{f[0], f[1]})
	}
	return list, lines.Err()
}

// generateService adds the four files of one service.
func generateService(root, dir string, s service, files map[string][]byte) error {
	m, err := loadModel(filepath.Join(dir, "apis", s.path, "api-2.json"),
		filepath.Join(root, "model", "overlay", s.pkg+".json"))
	if err != nil {
		return err
	}
	g, err := newGenerator(s.pkg, m)
	if err != nil {
		return err
	}
	for name, write := range map[string]func() error{
		"types.go": g.types, "schema.go": g.schema, "operations.go": g.operations, "errors.go": g.errors,
	} {
		g.begin()
		if err := write(); err != nil {
			return err
		}
		b, err := g.finish()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files["api/"+s.pkg+"/"+name] = b
	}
	return nil
}

// loadModel reads a model and merges the overlay, when there is one.
func loadModel(name, overlay string) (*model, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	patch, err := os.ReadFile(overlay)
	if err == nil {
		if !json.Valid(patch) {
			return nil, fmt.Errorf("%s is not JSON", overlay)
		}
		b, err = merge(b, patch)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var m model
	return &m, json.Unmarshal(b, &m)
}

// compare names the files that differ from what is committed, and those nobody generates.
func compare(root string, files map[string][]byte) error {
	var differ []string
	for name, want := range files {
		if have, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(have, want) {
			differ = append(differ, name)
		}
	}
	stale, err := staleFiles(root, files)
	if err != nil {
		return err
	}
	differ = append(differ, stale...)
	sort.Strings(differ)
	if len(differ) > 0 {
		return fmt.Errorf("run make gen: these are not as generated: %s", strings.Join(differ, ", "))
	}
	return nil
}

// staleFiles lists what lies below api without being generated.
func staleFiles(root string, files map[string][]byte) ([]string, error) {
	have, err := filepath.Glob(filepath.Join(root, "api", "*", "*"))
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, name := range have {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return nil, err
		}
		if _, ok := files[filepath.ToSlash(rel)]; !ok {
			stale = append(stale, filepath.ToSlash(rel))
		}
	}
	return stale, nil
}

// write replaces what differs and removes what is no longer generated.
func write(root string, files map[string][]byte) error {
	for name, b := range files {
		path := filepath.Join(root, name)
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	stale, err := staleFiles(root, files)
	for _, name := range stale {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return err
}

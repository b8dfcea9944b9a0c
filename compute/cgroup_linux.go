package compute

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Control groups are made only where they are ours to make: below the root of a hierarchy as this process sees it,
// below a group that a service manager delegated to it, or below one that belongs to its user. Whatever else a
// directory's permissions would allow is somebody's account of us, and not to be changed.

// hierarchies are the groups below which environments get groups of their own; "" where there is none.
type hierarchies struct {
	unified string // cgroup v2: freezes
	memory  controller
	cpu     controller
	pids    controller

	base string // the group of all environments of a Process, in each of them
}

// controller is where one kind of limit is set.
type controller struct {
	dir string // the parent group
	v2  bool
}

// dirs are the parent groups, each once.
func (h hierarchies) dirs() (list []string) {
	for _, d := range []string{h.unified, h.memory.dir, h.cpu.dir, h.pids.dir} {
		if d != "" && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// describe says in words what the hierarchies are good for.
func (h hierarchies) describe() string {
	say := func(c controller, yes, no string) string {
		if c.dir != "" {
			return yes
		}
		return no
	}
	ice := "stopped between invocations"
	if h.unified != "" {
		ice = "frozen between invocations"
	}
	return strings.Join([]string{
		say(h.memory, "memory limited by cgroup", "memory looked at every 4 to 100 ms (no memory cgroup)"),
		say(h.cpu, "CPU shared in proportion to memory", "CPU not shared in proportion (no cpu cgroup)"),
		say(h.pids, "processes limited by cgroup", "processes limited by rlimit"), ice,
	}, "; ")
}

// findHierarchies looks for groups we may make groups in.
func findHierarchies() hierarchies {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	groups, err2 := os.ReadFile("/proc/self/cgroup")
	if errors.Join(err, err2) != nil {
		return hierarchies{}
	}
	return chooseHierarchies(string(mounts), string(groups), usable)
}

// chooseHierarchies reads a process's mounts and groups; may says of a group's directory and path whether it is ours.
func chooseHierarchies(mounts, groups string, may func(dir, path string) bool) (h hierarchies) {
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		dir := mounted(mounts, f[1], f[2])
		if dir == "" || !may(dir, f[2]) {
			continue
		}
		if f[1] == "" && kernelSince(5, 7) { // since then, processes can be started in a group
			h.unified = dir
		}
		for name := range strings.SplitSeq(f[1], ",") {
			switch name {
			case "memory":
				h.memory = controller{dir, false}
			case "cpu":
				h.cpu = controller{dir, false}
			case "pids":
				h.pids = controller{dir, false}
			}
		}
	}
	return h
}

// mounted is the directory of a group: of the hierarchy with the controllers, of version 2 when they are "".
func mounted(mounts, controllers, path string) string {
	for line := range strings.Lines(mounts) {
		own, fs, ok := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(own), strings.Fields(fs)
		if !ok || len(f) < 6 || len(g) < 3 {
			continue
		}
		if controllers == "" && g[0] != "cgroup2" {
			continue
		}
		if controllers != "" {
			options := strings.Split(g[2], ",")
			first, _, _ := strings.Cut(controllers, ",")
			if g[0] != "cgroup" || !slices.Contains(options, first) {
				continue
			}
		}
		below, ok := strings.CutPrefix(path, strings.TrimSuffix(f[3], "/"))
		if ok && (below == "" || below[0] == '/') {
			return filepath.Join(f[4], below)
		}
	}
	return ""
}

// usable reports whether a group is ours to make groups in, and lets us.
func usable(dir, path string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	var answer [1]byte
	delegated := false
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		n, err := syscall.Getxattr(dir, name, answer[:])
		delegated = delegated || err == nil && n == 1 && answer[0] == '1'
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	own := ok && st.Uid != 0 && int(st.Uid) == os.Geteuid()
	if path != "/" && !delegated && !own {
		return false
	}
	try := filepath.Join(dir, "fogbank-try-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(try, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return false
	}
	return os.Remove(try) == nil
}

// prepareHierarchies finds them, removes what servers left that are no more, and makes a group for a Process. All
// its environments together weigh as much as as many other processes as there are processors.
func prepareHierarchies() hierarchies {
	h := findHierarchies()
	if h.unified != "" {
		for name, c := range map[string]*controller{"memory": &h.memory, "cpu": &h.cpu, "pids": &h.pids} {
			if c.dir == "" && switchOn(h.unified, name) {
				*c = controller{h.unified, true}
			}
		}
	}
	dirs := h.dirs()
	if len(dirs) == 0 {
		return h
	}
	for _, dir := range dirs {
		sweep(dir)
	}
	err := h.makeBase()
	for _, name := range []string{"memory", "cpu", "pids"} {
		if c := map[string]controller{"memory": h.memory, "cpu": h.cpu, "pids": h.pids}[name]; c.v2 {
			err = errors.Join(err, write(filepath.Join(c.dir, h.base, "cgroup.subtree_control"), "+"+name))
		}
	}
	if h.cpu.dir != "" {
		err = errors.Join(err, h.cpu.write(h.base, "cpu.shares", "cpu.weight", weigh(h.cpu, runtime.NumCPU()*vCPU)))
	}
	if err != nil {
		h.remove()
		return hierarchies{}
	}
	return h
}

// makeBase makes the group of a Process.
func (h *hierarchies) makeBase() error {
	for i, dir := range h.dirs() {
		for n := 0; ; n++ {
			if i == 0 {
				h.base = fmt.Sprintf("fogbank-%d-%d", os.Getpid(), n)
			}
			err := os.Mkdir(filepath.Join(dir, h.base), 0o755)
			if err == nil {
				break
			}
			if i > 0 || !errors.Is(err, os.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// remove removes the group of a Process, whose environments have ended.
func (h hierarchies) remove() {
	for _, dir := range h.dirs() {
		if h.base != "" {
			removeBase(filepath.Join(dir, h.base))
		}
	}
}

// removeBase removes a group and those in it.
func removeBase(dir string) {
	if os.Remove(dir) == nil {
		return
	}
	write(filepath.Join(dir, "cgroup.kill"), "1") // not in version 1: there its processes ended with the server
	list, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	if err != nil {
		return
	}
	for _, d := range list {
		os.Remove(d)
	}
	os.Remove(dir)
}

// write sets a file of a group, which has one name in version 1 and another in version 2.
func (c controller) write(group, first, second, value string) error {
	file := first
	if c.v2 {
		file = second
	}
	return write(filepath.Join(c.dir, group, file), value)
}

// weigh is the weight that goes with an amount of memory, in MB.
func weigh(c controller, memoryMB int) string {
	if c.v2 {
		return strconv.Itoa(min(max(100*memoryMB/vCPU, 1), 10_000))
	}
	return strconv.Itoa(min(max(1024*memoryMB/vCPU, 2), 1<<18))
}

// switchOn makes a controller available to the groups below dir. A group with processes of its own cannot do that
// unless it is the root; this process then moves into a group below.
func switchOn(dir, name string) bool {
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil || !slices.Contains(strings.Fields(string(has)), name) {
		return false
	}
	file := filepath.Join(dir, "cgroup.subtree_control")
	err = write(file, "+"+name)
	if errors.Is(err, syscall.EBUSY) {
		server := filepath.Join(dir, "fogbank-server")
		if err := os.Mkdir(server, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return false
		}
		if write(filepath.Join(server, "cgroup.procs"), strconv.Itoa(os.Getpid())) != nil {
			return false
		}
		err = write(file, "+"+name)
	}
	return err == nil
}

// sweep removes the groups of servers that do not run any more.
func sweep(dir string) {
	list, err := filepath.Glob(filepath.Join(dir, "fogbank-[0-9]*-*"))
	if err != nil {
		return
	}
	for _, d := range list {
		pid, err := strconv.Atoi(strings.Split(filepath.Base(d), "-")[1])
		if err != nil || pid == os.Getpid() {
			continue
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); errors.Is(err, os.ErrNotExist) {
			removeBase(d)
		}
	}
}

// write writes a group's file.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// group is the control groups of one environment, one in each hierarchy. A nil group is none.
type group struct {
	h    hierarchies
	name string
	dirs []string
	into *os.File // the group of version 2, for a process to be started in
	ice  *os.File // cgroup.freeze, when groups can be frozen
}

// newGroup makes an environment's groups; nil when there are no hierarchies.
func (h hierarchies) newGroup(n uint32) (*group, error) {
	if h.base == "" {
		return nil, nil
	}
	g := &group{h: h, name: filepath.Join(h.base, strconv.Itoa(int(n)))}
	for _, parent := range h.dirs() {
		dir := filepath.Join(parent, g.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			g.remove()
			return nil, fmt.Errorf("compute: a control group: %w", err)
		}
		g.dirs = append(g.dirs, dir)
	}
	if h.unified == "" {
		return g, nil
	}
	var err error
	if g.into, err = os.Open(filepath.Join(h.unified, g.name)); err != nil {
		g.remove()
		return nil, err
	}
	if f, err := os.OpenFile(filepath.Join(h.unified, g.name, "cgroup.freeze"), os.O_WRONLY, 0); err == nil {
		g.ice = f
	}
	return g, nil
}

// attr makes a process start in the group of version 2. To move a process later, the kernel waits for all processors.
func (g *group) attr(a *syscall.SysProcAttr) {
	if g != nil && g.into != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.into.Fd())
	}
}

// firsts are the groups of version 1. The cell's thread moves there itself, for which the kernel need not wait either.
func (g *group) firsts() string {
	if g == nil {
		return ""
	}
	var list []string
	for _, dir := range g.dirs {
		if g.into == nil || dir != g.into.Name() {
			list = append(list, dir)
		}
	}
	return strings.Join(list, ":")
}

// joinFirsts moves this thread, and what becomes of it, into groups of version 1.
func joinFirsts(dirs string) error {
	for dir := range strings.SplitSeq(dirs, ":") {
		if dir != "" {
			if err := write(filepath.Join(dir, "tasks"), "0"); err != nil {
				return fmt.Errorf("into the control group: %w", err)
			}
		}
	}
	return nil
}

// weigh gives the group the share of the processors that comes with an amount of memory, in MB.
func (g *group) weigh(memoryMB int) error {
	if g == nil || g.h.cpu.dir == "" {
		return nil
	}
	return g.h.cpu.write(g.name, "cpu.shares", "cpu.weight", weigh(g.h.cpu, memoryMB))
}

// limit sets the limits of memory and processes. Since what is in /tmp counts as memory, its size is added.
func (g *group) limit(memoryMB, tmpMB int) error {
	if g == nil {
		return nil
	}
	var err error
	set := func(c controller, first, second, value string) {
		if c.dir != "" {
			err = errors.Join(err, c.write(g.name, first, second, value))
		}
	}
	set(g.h.memory, "memory.limit_in_bytes", "memory.max", strconv.Itoa((memoryMB+tmpMB)<<20))
	set(g.h.pids, "pids.max", "pids.max", strconv.Itoa(procLimit))
	if g.h.memory.v2 {
		set(g.h.memory, "", "memory.oom.group", "1")
		// A kernel without swap has no such file.
		if e := write(filepath.Join(g.h.memory.dir, g.name, "memory.swap.max"), "0"); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// freeze stops all processes of the group, or lets them go on; it reports whether it can.
func (g *group) freeze(on bool) bool {
	if g == nil || g.ice == nil {
		return false
	}
	state := "0"
	if on {
		state = "1"
	}
	_, err := g.ice.WriteString(state)
	return err == nil
}

// anonymousMB is the memory the group's processes have, in MB, without files; ok is false where it is not counted.
func (g *group) anonymousMB() (mb int, ok bool) {
	if g == nil || g.h.memory.dir == "" {
		return 0, false
	}
	b, err := os.ReadFile(filepath.Join(g.h.memory.dir, g.name, "memory.stat"))
	if err != nil {
		return 0, false
	}
	field := "rss "
	if g.h.memory.v2 {
		field = "anon "
	}
	for line := range strings.Lines(string(b)) {
		if v, found := strings.CutPrefix(line, field); found {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			return n >> 20, err == nil
		}
	}
	return 0, false
}

// remove removes the groups, whose processes have ended or are killed.
func (g *group) remove() {
	if g == nil {
		return
	}
	for _, f := range []*os.File{g.ice, g.into} {
		if f != nil {
			f.Close()
		}
	}
	for _, dir := range g.dirs {
		os.Remove(dir)
	}
}

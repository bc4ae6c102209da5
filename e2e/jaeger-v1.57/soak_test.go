package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// TestClusterSoak writes and reads for as long as CLUSTER_SOAK says, with everything going on that goes on in a cluster, and little patience: cutting,
// uploading, polling, merging, deleting. All that was acknowledged is there all the time, and at the end. It prints memory and goroutines of each
// process twenty times, and fails if they are not flat.
func TestClusterSoak(t *testing.T) {
	text := os.Getenv("CLUSTER_SOAK")
	if text == "" {
		t.Skip("CLUSTER_SOAK says how long")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CLUSTER_SOAK: %v", err)
	}
	c := startCluster(t, threeAndTwo())
	admin := make(map[string]string) // by name
	pids := make(map[string]func() int)
	var names []string
	for _, n := range c.Nodes() {
		names, admin[n.ID], pids[n.ID] = append(names, n.ID), n.Admin, n.Pid
	}
	var doors []*door
	for i := range 2 {
		name, address := fmt.Sprint("plugin-", i+1), freePort(t, "tcp")
		d := doorTo(t, c, nil, name, 0, map[string]string{"admin.listen_address": address})
		names, admin[name] = append(names, name), address
		pids[name] = func() int { return d.at.Load().cmd.Process.Pid }
		doors = append(doors, d)
	}
	awaitRing(t, doors)
	check := newChecker("soak", 8, 2, int(environment(t, "SPANS_A_SECOND", 300)), doors...)
	stop := check.load()
	began := time.Now()
	const lines = 20
	memory, goroutines := make(map[string][]int), make(map[string][]int)
	fmt.Printf("\n%8s  memory in MiB / goroutines of %s\n", "", strings.Join(names, ", "))
	for i := range lines {
		<-time.After(time.Until(began.Add(d * time.Duration(i+1) / lines)))
		line := fmt.Sprintf("%8v ", time.Since(began).Round(time.Second))
		for _, name := range names {
			m, g := resident(t, pids[name]()), goroutinesOf(t, admin[name])
			memory[name], goroutines[name] = append(memory[name], m), append(goroutines[name], g)
			line += fmt.Sprintf(" %4d/%-4d", m, g)
		}
		f := &check.found
		fmt.Printf("%s  %d spans acked, %d traces read, %d not found, %d partial, %d twice, %d changed, %d errors\n", line, check.acknowledged(), f.wholes.Load(),
			f.missing.Load(), f.partial.Load(), f.twice.Load(), f.changed.Load(), f.errors.Load()+f.retries.Load())
		if !f.zero() {
			break
		}
	}
	stop()
	check.everything(t, 2*time.Minute)
	table := &figures{}
	table.add(row{"soak", time.Since(began), 0, check})
	fmt.Print(table)
	check.report(t)

	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "process\tMiB, second quarter\tlast quarter\tgoroutines, second quarter\tlast quarter\t")
	for _, name := range names {
		m2, m4 := quarters(memory[name])
		g2, g4 := quarters(goroutines[name])
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", name, m2, m4, g2, g4)
		if m4 > m2*3/2+32 || g4 > g2*3/2+20 {
			t.Errorf("%s: memory grew from %d to %d MiB, goroutines from %d to %d", name, m2, m4, g2, g4)
		}
	}
	_ = w.Flush()
	fmt.Println(b.String())
}

// quarters returns the mean of the second quarter and of the last one.
func quarters(values []int) (second, last int) {
	n := len(values) / 4
	if n == 0 {
		return 0, 0
	}
	for i := range n {
		second += values[n+i]
		last += values[len(values)-1-i]
	}
	return second / n, last / n
}

// resident is the memory of a process in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

// goroutinesOf asks a process's admin server.
func goroutinesOf(t *testing.T, admin string) (n int) {
	t.Helper()
	response, err := http.Get("http://" + admin + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(line, "goroutine profile: total %d", &n); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return n
}

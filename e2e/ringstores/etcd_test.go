package ringstores

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
)

// etcd is a process of etcd, which can be killed and started again.
type etcd struct {
	t              *testing.T
	program, dir   string
	clients, peers string // addresses
	cmd            *exec.Cmd
	output         bytes.Buffer
}

// startEtcd builds etcd if it is not there, and runs it until the test ends.
func startEtcd(t *testing.T) *etcd {
	t.Helper()
	program, err := filepath.Abs("../../bin/ringstores/server") // the name of etcd's package
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Log("building etcd; this takes about two minutes the first time")
		cmd := exec.Command("go", "build", "-trimpath", "-o", program, "go.etcd.io/etcd/server/v3")
		cmd.Dir = "servers"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build etcd: %v\n%s", err, out)
		}
	}
	e := &etcd{t: t, program: program, dir: t.TempDir(), clients: freePort(t), peers: freePort(t)}
	e.run()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("the last words of etcd:\n%s", e.output.Bytes()[max(0, e.output.Len()-2000):])
		}
	})
	return e
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (e *etcd) run() {
	e.t.Helper()
	e.cmd = exec.Command(e.program, "--name=one", "--data-dir="+e.dir,
		"--listen-client-urls=http://"+e.clients, "--advertise-client-urls=http://"+e.clients,
		"--listen-peer-urls=http://"+e.peers, "--initial-advertise-peer-urls=http://"+e.peers, "--initial-cluster=one=http://"+e.peers)
	e.cmd.Stdout, e.cmd.Stderr = &e.output, &e.output
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	await(e.t, "etcd listens", func() bool {
		c, err := net.Dial("tcp", e.clients)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (e *etcd) kill() {
	if e.cmd != nil {
		e.cmd.Process.Kill()
		e.cmd.Wait()
		e.cmd = nil
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(90 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited too long until " + what)
		}
	}
}

func states(r *ring.Ring) string {
	set, err := r.ReadSet()
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, i := range set.Ask {
		all = append(all, i.Address+" "+i.State)
	}
	for _, i := range set.Silent {
		all = append(all, i.Address+" silent")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// batch returns how many instances were asked to take a token.
func batch(t *testing.T, r *ring.Ring) (asked int, err error) {
	err = r.Batch(t.Context(), []uint32{ring.Token("acme", [16]byte{1})}, func(p *ring.Push) { asked++; p.End(nil) })
	return asked, err
}

func TestARingLiesInEtcd(t *testing.T) {
	e := startEtcd(t)
	c := ring.Config{Name: "ingesters", Replication: 3, Heartbeat: time.Second, HeartbeatTimeout: 6 * time.Second, Settle: 200 * time.Millisecond, ForgetAfter: 12 * time.Second}
	open := func() *ring.Store {
		s, err := ring.OpenStore(t.Context(), ring.StoreConfig{Kind: ring.Etcd, Endpoints: []string{e.clients}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seen, err := open().Watch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch(t, seen); status.Code(err) != codes.Unavailable {
		t.Errorf("a batch while nobody is there: %v", err)
	}
	var members []*ring.Member
	for i := range 4 {
		m, err := open().Join(t.Context(), c, ring.Self{ID: fmt.Sprint("ingester-", i+1), Address: fmt.Sprint("127.0.0.1:", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	await(t, "all are seen", func() bool {
		return states(seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE, 127.0.0.1:3 ACTIVE, 127.0.0.1:4 ACTIVE"
	})
	if asked, err := batch(t, seen); err != nil || asked != 3 {
		t.Errorf("a batch: %d pushes, %v", asked, err)
	}
	if err := members[3].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, "who left is gone", func() bool { return states(seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE, 127.0.0.1:3 ACTIVE" })

	// Without its store, and with it again, the ring goes on.
	e.kill()
	if asked, err := batch(t, seen); err != nil || asked != 3 {
		t.Errorf("a batch while etcd is dead: %d pushes, %v", asked, err)
	}
	e.run()
	if err := members[2].Stop(); err != nil {
		t.Fatal(err)
	}
	await(t, "who ended is silent", func() bool { return states(seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE, 127.0.0.1:3 silent" })
	if asked, err := batch(t, seen); err != nil || asked != 2 {
		t.Errorf("a batch while one is silent: %d pushes, %v", asked, err)
	}
	await(t, "who is silent is forgotten", func() bool { return states(seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE" })
	for _, end := range []func() error{members[0].Stop, members[1].Stop, seen.Close} {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

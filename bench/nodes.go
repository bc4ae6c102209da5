package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/plugin"
)

// replicas is how many ingesters the measured cluster has, and how many of them keep each trace.
const replicas = 3

// ingesters are processes of their own, over an object store that is a directory.
type ingesters struct {
	dir, blocks string
	of          []*ingesterProcess
}

type ingesterProcess struct {
	cmd                 *exec.Cmd
	dir, file           string
	admin, grpc, gossip string
}

// buildPrograms builds the programs of the cluster once, beside the other files of a run.
func buildPrograms(o *options) error {
	cmd := exec.Command("go", "build", "-o", filepath.Join(o.Dir, "bin")+string(filepath.Separator), "./cmd/tempo", "./cmd/tempo-plugin")
	root, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("the cluster is measured within a checkout, by the go command: %w", err)
	}
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(root)))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w: %s", err, out)
	}
	return nil
}

func (o *options) program(name string) string { return filepath.Join(o.Dir, "bin", name) }

// startIngesters starts them in dir, and returns when all are ready. They cut blocks only when they are told to.
func startIngesters(o *options, dir, blocks string) (*ingesters, error) {
	c := &ingesters{dir: dir, blocks: blocks}
	if err := os.MkdirAll(blocks, 0o700); err != nil {
		return nil, err
	}
	for i := range replicas {
		p := &ingesterProcess{dir: filepath.Join(dir, "ingester-"+strconv.Itoa(i+1))}
		for _, a := range []*string{&p.admin, &p.grpc, &p.gossip} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			*a = l.Addr().String()
			if err := l.Close(); err != nil {
				return nil, err
			}
		}
		c.of = append(c.of, p)
	}
	for i, p := range c.of {
		p.file = p.dir + ".yaml"
		text := fmt.Sprintf("storage: {path: %q, blocks: %q}\nwal: {sync: %s}\ncut: {bytes: 8GiB, age: 24h}\n%s\ninstance: {id: ingester-%d}\n"+
			"server: {grpc_listen_address: %q}\nadmin: {listen_address: %q}\nlogging: {level: warn}\n",
			p.dir, blocks, o.Sync, c.ring(p.gossip), i+1, p.grpc, p.admin)
		err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(p.file, []byte(text), 0o600))
		if err != nil {
			return nil, err
		}
		if err := p.start(o); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	for _, p := range c.of {
		if _, err := p.ready(); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	return c, nil
}

// ring is the section of a process that gossips at an address.
func (c *ingesters) ring(gossip string) string {
	var all []string
	for _, p := range c.of {
		all = append(all, p.gossip)
	}
	return fmt.Sprintf("ring: {store: memberlist, listen_address: %q, join: %q, replication: %d, settle: 100ms, heartbeat: 1s}", gossip, strings.Join(all, ","), replicas)
}

func (p *ingesterProcess) start(o *options) error {
	p.cmd = exec.Command(o.program("tempo"), "--target=ingester", "--config.file="+p.file)
	p.cmd.Stderr = os.Stderr
	return p.cmd.Start()
}

// ready waits until the process is, and returns how long that took.
// log is the folder of what it has that is not in blocks. It is there after the first write.
func (p *ingesterProcess) log() string { return filepath.Join(p.dir, "ingester", "log") }

func (p *ingesterProcess) ready() (time.Duration, error) {
	begin := time.Now()
	for time.Since(begin) < 2*time.Minute {
		response, err := http.Get("http://" + p.admin + "/ready")
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return time.Since(begin), nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("ingester %s is not ready after two minutes", p.dir)
}

func (p *ingesterProcess) kill() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	return err
}

func (c *ingesters) stop() error {
	var errs []error
	for _, p := range c.of {
		if p.cmd != nil {
			errs = append(errs, p.kill())
		}
	}
	return errors.Join(errs...)
}

// cpu is what all ingesters have used so far.
func (c *ingesters) cpu() (sum time.Duration, err error) {
	for _, p := range c.of {
		used, err := cpuOf(p.cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// cpuOf returns the user and system time that a process has used, in hundredths of a second.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have anything in it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memberConfig writes the configuration of who writes and reads, and returns the file.
func (c *ingesters) memberConfig(name string) (string, error) {
	file := filepath.Join(c.dir, name+".yaml")
	text := fmt.Sprintf("storage: {blocks: %q}\n%s\ntenancy: {default: %s}\nadmin: {listen_address: \"off\"}\nlogging: {level: warn}\n", c.blocks, c.ring("127.0.0.1:0"), tenant)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// startPlugin starts a plugin in front of the ingesters, as Jaeger does, and returns its connection.
func (c *ingesters) startPlugin(o *options) (conn *grpc.ClientConn, pid int, stop func(), err error) {
	file, err := c.memberConfig("plugin")
	if err != nil {
		return nil, 0, nil, err
	}
	cmd := exec.Command(o.program("tempo-plugin"), "--config", file)
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{1: {plugin.PluginName: bareConnection{}}},
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn}),
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{}))},
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, 0, nil, err
	}
	raw, err := protocol.Dispense(plugin.PluginName)
	if err != nil {
		client.Kill()
		return nil, 0, nil, err
	}
	return raw.(*grpc.ClientConn), cmd.Process.Pid, client.Kill, nil
}

// bareConnection is the plugin's side of the host: the connection itself.
type bareConnection struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (bareConnection) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the host")
}

func (bareConnection) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// join makes this process one that writes to and reads from the ingesters: the store's API, without Jaeger's protocol.
func (c *ingesters) join(ctx context.Context) (*node.Node, error) {
	file, err := c.memberConfig("bench")
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	log := daemon.NewLog("warn", os.Stderr)
	return node.Open(ctx, node.Options{Config: cfg, Program: "bench", Log: log, Admin: daemon.NewAdmin("bench", "bench", cfg, log)})
}

package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
)

// Network is zones that reach each other, and this machine, over a bridge: network namespaces of Linux, each with an address of its own. A link
// between two can be cut, so that packets are lost without a word.
type Network struct {
	name  string // of the bridge, and before that of each namespace
	base  string // of addresses: "10.x.y."
	zones int
}

// zoneMAC is the hardware address of zone i.
func zoneMAC(i int) string { return fmt.Sprintf("02:00:00:00:01:%02x", i+1) }

// nobody is the hardware address to which lost packets go.
const nobody = "02:00:00:00:00:00"

// NewNetwork makes a network. It needs the right to (root, mostly), and iproute2.
func NewNetwork(zones int) (*Network, error) {
	n := &Network{
		name:  fmt.Sprintf("tempo%05d", rand.IntN(100_000)),
		base:  fmt.Sprintf("10.%d.%d.", 200+rand.IntN(50), rand.IntN(256)),
		zones: zones,
	}
	err := ip("link", "add", n.name, "type", "bridge")
	if err == nil {
		err = errors.Join(ip("addr", "add", n.Host()+"/24", "dev", n.name), ip("link", "set", n.name, "up"))
	}
	for i := range zones {
		if err != nil {
			break
		}
		ns, here := n.namespace(i), fmt.Sprint(n.name, "v", i)
		err = errors.Join(
			ip("netns", "add", ns),
			ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", ns),
			ip("link", "set", here, "master", n.name, "up"),
			ip("-n", ns, "link", "set", "eth0", "address", zoneMAC(i), "up"),
			ip("-n", ns, "link", "set", "lo", "up"),
			ip("-n", ns, "addr", "add", n.Address(i)+"/24", "dev", "eth0"),
		)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close takes the network away. Nothing may run in it any more.
func (n *Network) Close() error {
	var errs []error
	for i := range n.zones {
		errs = append(errs, ip("netns", "del", n.namespace(i)))
	}
	return errors.Join(append(errs, ip("link", "del", n.name))...)
}

func (n *Network) namespace(zone int) string { return fmt.Sprint(n.name, "z", zone) }

// Host is this machine's address in the network, Address a zone's.
func (n *Network) Host() string            { return n.base + "254" }
func (n *Network) Address(zone int) string { return fmt.Sprint(n.base, zone+1) }

// Within returns the command that runs in a zone.
func (n *Network) Within(zone int, command ...string) []string {
	return append([]string{"ip", "netns", "exec", n.namespace(zone)}, command...)
}

// Cut loses all packets between two zones; Heal no longer.
func (n *Network) Cut(a, b int) error {
	return errors.Join(
		ip("-n", n.namespace(a), "neigh", "replace", n.Address(b), "lladdr", nobody, "dev", "eth0", "nud", "permanent"),
		ip("-n", n.namespace(b), "neigh", "replace", n.Address(a), "lladdr", nobody, "dev", "eth0", "nud", "permanent"),
	)
}

// Heal ends what Cut began.
func (n *Network) Heal(a, b int) error {
	return errors.Join(
		ip("-n", n.namespace(a), "neigh", "replace", n.Address(b), "lladdr", zoneMAC(b), "dev", "eth0", "nud", "reachable"),
		ip("-n", n.namespace(b), "neigh", "replace", n.Address(a), "lladdr", zoneMAC(a), "dev", "eth0", "nud", "reachable"),
	)
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

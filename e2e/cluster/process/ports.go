package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports that the kernel gives to nobody by itself: one may be listened on again after its process was killed.
const (
	firstPort = 12000
	lastPort  = 31999
)

var ports = struct {
	mu   sync.Mutex
	next int
}{next: firstPort + rand.IntN(lastPort-firstPort)}

// FreePort returns host with a port on which nobody listens, each one once.
func FreePort(host string) (string, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range lastPort - firstPort {
		address := net.JoinHostPort(host, strconv.Itoa(ports.next))
		if ports.next++; ports.next > lastPort {
			ports.next = firstPort
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("no free port on %s", host)
}

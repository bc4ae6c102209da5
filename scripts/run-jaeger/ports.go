package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// port is one of the addresses that all-in-one listens on.
type port struct {
	// flag sets it.
	flag string
	use  string
	udp  bool
	// number is Jaeger's own choice until choosePorts makes another.
	number int
}

// address is on loopback: what is shown here has no access control.
func (p port) address() string { return "127.0.0.1:" + strconv.Itoa(p.number) }

var jaegerPorts = []port{
	{flag: "query.http-server.host-port", use: "UI and API", number: 16686},
	{flag: "query.grpc-server.host-port", use: "API (gRPC)", number: 16685},
	{flag: "collector.otlp.grpc.host-port", use: "OTLP (gRPC)", number: 4317},
	{flag: "collector.otlp.http.host-port", use: "OTLP (HTTP)", number: 4318},
	{flag: "collector.grpc-server.host-port", use: "spans (gRPC)", number: 14250},
	{flag: "collector.http-server.host-port", use: "spans (HTTP)", number: 14268},
	{flag: "admin.http.host-port", use: "metrics and health", number: 14269},
	{flag: "http-server.host-port", use: "sampling strategies", number: 5778},
	{flag: "processor.jaeger-compact.server-host-port", use: "agent (compact thrift)", udp: true, number: 6831},
	{flag: "processor.jaeger-binary.server-host-port", use: "agent (binary thrift)", udp: true, number: 6832},
	{flag: "processor.zipkin-compact.server-host-port", use: "agent (zipkin thrift)", udp: true, number: 5775},
}

// choosePorts returns the ports that Jaeger is to listen on: its own, or with free any that are free.
// A port that another program holds is an error.
func choosePorts(free bool) ([]port, error) {
	ports := append([]port(nil), jaegerPorts...)
	var taken []string
	for i := range ports {
		p := &ports[i]
		if free {
			p.number = 0
		}
		number, release, err := p.listen()
		if err != nil {
			taken = append(taken, fmt.Sprintf("%d (%s)", p.number, p.use))
			continue
		}
		p.number = number
		// All are held until the last is chosen, so that none is chosen twice.
		defer release()
	}
	if len(taken) > 0 {
		return nil, fmt.Errorf("port in use: %s. End the program that listens there (another Jaeger?), or take other ports: make run PORTS=free",
			strings.Join(taken, ", "))
	}
	return ports, nil
}

func (p port) listen() (number int, release func(), err error) {
	if p.udp {
		c, err := net.ListenPacket("udp", p.address())
		if err != nil {
			return 0, nil, err
		}
		return c.LocalAddr().(*net.UDPAddr).Port, func() { _ = c.Close() }, nil
	}
	l, err := net.Listen("tcp", p.address())
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() { _ = l.Close() }, nil
}

func portOf(ports []port, flag string) string {
	for _, p := range ports {
		if p.flag == flag+".host-port" {
			return strconv.Itoa(p.number)
		}
	}
	panic("no such port: " + flag)
}

package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// port is one of the addresses that all-in-one listens on.
type port struct {
	// flag names it to Jaeger, without "--" and ".host-port".
	flag string
	use  string
	udp  bool
	// number is Jaeger's own choice until choosePorts makes another.
	number int
}

var jaegerPorts = []port{
	{flag: "query.http-server", use: "UI and API", number: 16686},
	{flag: "query.grpc-server", use: "API (gRPC)", number: 16685},
	{flag: "collector.otlp.grpc", use: "OTLP (gRPC)", number: 4317},
	{flag: "collector.otlp.http", use: "OTLP (HTTP)", number: 4318},
	{flag: "collector.grpc-server", use: "spans (gRPC)", number: 14250},
	{flag: "collector.http-server", use: "spans (HTTP)", number: 14268},
	{flag: "admin.http", use: "metrics and health", number: 14269},
	{flag: "http-server", use: "sampling strategies", number: 5778},
	{flag: "processor.jaeger-compact.server", use: "agent (compact thrift)", udp: true, number: 6831},
	{flag: "processor.jaeger-binary.server", use: "agent (binary thrift)", udp: true, number: 6832},
	{flag: "processor.zipkin-compact.server", use: "agent (zipkin thrift)", udp: true, number: 5775},
}

// choosePorts returns the ports that Jaeger is to listen on: its own, or with free any that are free.
// A port that another program holds is an error.
func choosePorts(free bool) ([]port, error) {
	ports := append([]port(nil), jaegerPorts...)
	var taken []string
	for i := range ports {
		p := &ports[i]
		ask := p.number
		if free {
			ask = 0
		}
		number, release, err := listen(ask, p.udp)
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

func listen(number int, udp bool) (got int, release func() error, err error) {
	address := ":" + strconv.Itoa(number)
	if udp {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return 0, nil, err
		}
		return c.LocalAddr().(*net.UDPAddr).Port, c.Close, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close, nil
}

func portOf(ports []port, flag string) string {
	for _, p := range ports {
		if p.flag == flag {
			return strconv.Itoa(p.number)
		}
	}
	panic("no such port: " + flag)
}

package main

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func TestWarningsAreShownInShort(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"info","msg":"Starting"}`:                                                  "",
		`{"level":"warn","msg":"trace not found","error":"no"}`:                              "warn: trace not found: no",
		`{"level":"error","msg":"HTTP handler","error":"one\ntwo","stacktrace":"main.main"}`: "error: HTTP handler: one",
		`{"level":"fatal","msg":"Failed"}`:                                                   "fatal: Failed",
		"2026-11-22T16:55:13.947Z [ERROR] tempo-plugin: cannot run\n":                        "2026-11-22T16:55:13.947Z [ERROR] tempo-plugin: cannot run",
		"2026-11-22T16:55:13.947Z [INFO]  tempo-plugin: store is open\n":                     "",
		"": "",
	} {
		if got := warning([]byte(line)); got != want {
			t.Errorf("%q is shown as %q, want %q", line, got, want)
		}
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := choosePorts(true)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, p := range ports {
		numbers = append(numbers, p.number)
	}
	slices.Sort(numbers)
	if len(numbers) != len(jaegerPorts) || len(slices.Compact(numbers)) != len(jaegerPorts) {
		t.Errorf("chose ports %v, want %d different ones", numbers, len(jaegerPorts))
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	// Whoever holds the port of the UI, this test or another program: it is named.
	if l, err := net.Listen("tcp", ":16686"); err == nil {
		defer l.Close()
	}
	_, err := choosePorts(false)
	if err == nil || !strings.Contains(err.Error(), "16686 (UI and API)") || !strings.Contains(err.Error(), "PORTS=free") {
		t.Errorf("error %v, want one that names the port and the way out", err)
	}
}

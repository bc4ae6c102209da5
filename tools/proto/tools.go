//go:build tools

package main

// The generators that generate runs are pinned with the rest, and so are Jaeger's .proto files.
import (
	_ "github.com/jaegertracing/jaeger-idl/thrift-gen/zipkincore"
	_ "google.golang.org/grpc/cmd/protoc-gen-go-grpc"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)

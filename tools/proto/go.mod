module github.com/jaeger-tempo/tempo/tools/proto

go 1.26.0

require (
	github.com/bufbuild/protocompile v0.14.1
	github.com/jaegertracing/jaeger-idl v0.14.0
	go.opentelemetry.io/proto/otlp v1.11.1
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/apache/thrift v0.24.0 // indirect
	golang.org/x/sync v0.8.0 // indirect
)

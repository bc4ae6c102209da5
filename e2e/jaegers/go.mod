module github.com/jaeger-tempo/tempo/e2e/jaegers

go 1.26

require (
	github.com/apache/thrift v0.20.0
	github.com/gogo/protobuf v1.3.2
	github.com/jaeger-tempo/tempo/e2e/cluster v0.0.0
	github.com/jaegertracing/jaeger v1.57.0
	github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/jaeger v0.98.0
	github.com/openzipkin/zipkin-go v0.4.2
	go.opentelemetry.io/collector/pdata v1.5.0
	go.opentelemetry.io/proto/otlp v1.2.0
	google.golang.org/grpc v1.63.2
	google.golang.org/protobuf v1.34.0
)

require (
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/open-telemetry/opentelemetry-collector-contrib/internal/coreinternal v0.98.0 // indirect
	go.opentelemetry.io/collector/semconv v0.98.0 // indirect
)

require (
	github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc // indirect
	github.com/gogo/googleapis v1.4.1 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.19.1 // indirect
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2 // indirect
	github.com/stretchr/testify v1.9.0 // indirect
	go.opentelemetry.io/otel v1.26.0 // indirect
	go.opentelemetry.io/otel/trace v1.26.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.27.0 // indirect
	golang.org/x/net v0.24.0 // indirect
	golang.org/x/sys v0.19.0 // indirect
	golang.org/x/text v0.14.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20240227224415-6ceb2ff114de // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240401170217-c3f982113cda // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/jaeger-tempo/tempo/e2e/cluster => ../cluster

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0

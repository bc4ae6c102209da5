package remote

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	gogoproto "github.com/gogo/protobuf/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// registerReflection lets clients ask what the server offers. Two things are not in protobuf's registry: Jaeger's v1 messages, which are gogo's, and OpenTelemetry's
// trace service, whose messages are served as bytes (its package would bring an HTTP gateway along).
func registerReflection(server *grpc.Server) error {
	all := &descriptors{own: new(protoregistry.Files)}
	if err := errors.Join(all.add("storage.proto"), all.make(traceService)); err != nil {
		return fmt.Errorf("descriptors for reflection: %w", err)
	}
	options := reflection.ServerOptions{Services: server, DescriptorResolver: all}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(options))
	return nil
}

// traceService describes opentelemetry/proto/collector/trace/v1/trace_service.proto.
var traceService = &descriptorpb.FileDescriptorProto{
	Name: proto.String("opentelemetry/proto/collector/trace/v1/trace_service.proto"), Package: proto.String("opentelemetry.proto.collector.trace.v1"),
	Syntax: proto.String("proto3"), Dependency: []string{"opentelemetry/proto/trace/v1/trace.proto"},
	MessageType: []*descriptorpb.DescriptorProto{
		message("ExportTraceServiceRequest", field("resource_spans", 1, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".opentelemetry.proto.trace.v1.ResourceSpans", true)),
		message("ExportTraceServiceResponse",
			field("partial_success", 1, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".opentelemetry.proto.collector.trace.v1.ExportTracePartialSuccess", false)),
		message("ExportTracePartialSuccess",
			field("rejected_spans", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64, "", false), field("error_message", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false)),
	},
	Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("TraceService"), Method: []*descriptorpb.MethodDescriptorProto{{
		Name:       proto.String("Export"),
		InputType:  proto.String(".opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"),
		OutputType: proto.String(".opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse"),
	}}}},
}

func message(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
	return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
}

func field(name string, number int32, of descriptorpb.FieldDescriptorProto_Type, message string, repeated bool) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: of.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if message != "" {
		f.TypeName = &message
	}
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	return f
}

// descriptors are those that own has, and all of protobuf's registry.
type descriptors struct{ own *protoregistry.Files }

// registeredAs has the names that gogo's own files are imported by, and those under which it has registered them.
var registeredAs = map[string]string{"gogoproto/gogo.proto": "gogo.proto"}

// add adds a file of gogo's registry, with all that it imports.
func (d *descriptors) add(path string) error {
	if _, err := d.FindFileByPath(path); err == nil {
		return nil
	}
	name := path
	if other, ok := registeredAs[path]; ok {
		name = other
	}
	file, err := unpack(gogoproto.FileDescriptor(name))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	file.Name = &path
	for i, imported := range file.Dependency {
		if imported == "descriptor.proto" {
			file.Dependency[i] = "google/protobuf/descriptor.proto"
		}
		if err := d.add(file.Dependency[i]); err != nil {
			return err
		}
	}
	return d.make(file)
}

// make adds a file that was described.
func (d *descriptors) make(file *descriptorpb.FileDescriptorProto) error {
	made, err := protodesc.NewFile(file, d)
	if err != nil {
		return fmt.Errorf("%s: %w", file.GetName(), err)
	}
	return d.own.RegisterFile(made)
}

func unpack(packed []byte) (*descriptorpb.FileDescriptorProto, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	file := new(descriptorpb.FileDescriptorProto)
	return file, proto.Unmarshal(data, file)
}

// FindFileByPath implements protodesc.Resolver.
func (d *descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if found, err := d.own.FindFileByPath(path); !errors.Is(err, protoregistry.NotFound) {
		return found, err
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements protodesc.Resolver.
func (d *descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if found, err := d.own.FindDescriptorByName(name); !errors.Is(err, protoregistry.NotFound) {
		return found, err
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

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

// registerReflection lets clients ask what the server offers. Jaeger's v1 messages are gogo's, whose descriptors protobuf's registry does not have.
func registerReflection(server *grpc.Server) error {
	v1 := &descriptors{own: new(protoregistry.Files)}
	if err := v1.add("storage.proto"); err != nil {
		return fmt.Errorf("descriptors for reflection: %w", err)
	}
	options := reflection.ServerOptions{Services: server, DescriptorResolver: v1}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(options))
	return nil
}

// descriptors are those of some files of gogo's registry, and all of protobuf's.
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
	made, err := protodesc.NewFile(file, d)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
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

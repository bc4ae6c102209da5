package jaegerv1

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// appendTags appends tags as attributes, in order, in the repeated field num. Errors call the list name.
func appendTags(dst []byte, num protowire.Number, tags []model.KeyValue, name string) ([]byte, error) {
	for i := range tags {
		tag := &tags[i]
		if !utf8.ValidString(tag.Key) {
			return nil, notUTF8(fmt.Sprintf("%s[%d].key", name, i))
		}
		if tag.VType == model.StringType && !utf8.ValidString(tag.VStr) {
			return nil, notUTF8(fmt.Sprintf("%s[%d].v_str (key %.100q)", name, i, tag.Key))
		}
		key := tag.Key
		if strings.HasPrefix(key, reserved) {
			key = reserved + key
		}
		dst = appendAttribute(dst, num, key, tag)
		if !plain(tag) {
			whole, err := tag.Marshal()
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
			}
			dst = appendAttribute(dst, num, attrTag, &model.KeyValue{VType: model.BinaryType, VBinary: whole})
		}
	}
	return dst, nil
}

// plain reports whether a tag has a value of its own type only. Jaeger makes no others, but its
// model can hold a value of each type at once.
func plain(tag *model.KeyValue) bool {
	t := tag.VType
	return t >= model.StringType && t <= model.BinaryType &&
		(t == model.StringType || tag.VStr == "") &&
		(t == model.BoolType || !tag.VBool) &&
		(t == model.Int64Type || tag.VInt64 == 0) &&
		(t == model.Float64Type || tag.VFloat64 == 0) &&
		(t == model.BinaryType || len(tag.VBinary) == 0)
}

// appendAttribute appends a KeyValue message: this key, the value of the tag. A type that is not
// known gives an attribute without a value.
func appendAttribute(dst []byte, num protowire.Number, key string, tag *model.KeyValue) []byte {
	size := 0
	switch tag.VType {
	case model.StringType:
		size = sizeBytes(len(tag.VStr))
	case model.BoolType:
		size = 2
	case model.Int64Type:
		size = 1 + protowire.SizeVarint(uint64(tag.VInt64))
	case model.Float64Type:
		size = 9
	case model.BinaryType:
		size = sizeBytes(len(tag.VBinary))
	}
	dst = appendAttributeHead(dst, num, key, size)
	switch tag.VType {
	case model.StringType:
		dst = appendString(dst, valueString, tag.VStr)
	case model.BoolType:
		dst = append(dst, valueBool<<3|byte(protowire.VarintType), 0)
		if tag.VBool {
			dst[len(dst)-1] = 1
		}
	case model.Int64Type:
		dst = appendVarint(dst, valueInt, uint64(tag.VInt64))
	case model.Float64Type:
		dst = appendFixed64(dst, valueDouble, math.Float64bits(tag.VFloat64))
	case model.BinaryType:
		dst = append(dst, valueBytes<<3|byte(protowire.BytesType))
		dst = protowire.AppendBytes(dst, tag.VBinary)
	}
	return dst
}

func appendTextAttribute(dst []byte, num protowire.Number, key, value string) []byte {
	dst = appendAttributeHead(dst, num, key, sizeBytes(len(value)))
	return appendString(dst, valueString, value)
}

func appendIntAttribute(dst []byte, num protowire.Number, key string, value int64) []byte {
	dst = appendAttributeHead(dst, num, key, 1+protowire.SizeVarint(uint64(value)))
	return appendVarint(dst, valueInt, uint64(value))
}

// appendAttributeHead appends a KeyValue message up to its value, which must follow with this size.
func appendAttributeHead(dst []byte, num protowire.Number, key string, valueSize int) []byte {
	size := sizeBytes(valueSize)
	if key != "" {
		size += sizeBytes(len(key))
	}
	dst = append(dst, byte(num)<<3|byte(protowire.BytesType))
	dst = protowire.AppendVarint(dst, uint64(size))
	if key != "" {
		dst = appendString(dst, keyValueKey, key)
	}
	dst = append(dst, keyValueValue<<3|byte(protowire.BytesType))
	return protowire.AppendVarint(dst, uint64(valueSize))
}

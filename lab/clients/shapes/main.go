// Command shapes prints how the published Go types of Kubernetes' built-in kinds stand in JSON: the order of their
// fields, and which are left out when they are empty. One line for each type: its OpenAPI name and its fields. A field is
// `name`, then `=GoName` where that is not the name with a capital letter, `?` when it is left out while empty, `*` when
// it is a pointer, then `:Type` where decoders name its Go type otherwise than its schema lets one
// expect, then `@Types` that embed it.
package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

var leaves = map[string]bool{"Time": true, "MicroTime": true, "Quantity": true, "IntOrString": true, "RawExtension": true, "FieldsV1": true, "Duration": true,
	"JSON": true, "JSONSchemaPropsOrArray": true, "JSONSchemaPropsOrBool": true, "JSONSchemaPropsOrStringArray": true}
var lines = map[string]string{}

// aggregator describes APIServices, whose types are in no library that is used here.
const aggregator = `APIService kind? apiVersion=APIVersion? metadata=ObjectMeta spec status
APIServiceCondition type:v1.APIServiceConditionType status:v1.ConditionStatus lastTransitionTime reason? message?
APIServiceSpec service?* group? version? insecureSkipTLSVerify=InsecureSkipTLSVerify? caBundle=CABundle? groupPriorityMinimum versionPriority
APIServiceStatus conditions?
ServiceReference namespace? name? port?*`

func openAPIName(t reflect.Type) string {
	path := strings.Replace(t.PkgPath(), "k8s.io/", "io.k8s.", 1)
	return strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

func visit(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || leaves[t.Name()] || strings.HasSuffix(t.Name(), "List") && t.Name() != "AllowList" {
		return
	}
	name := openAPIName(t)
	if _, known := lines[name]; known {
		return
	}
	lines[name] = ""
	var fields []string
	collect(t, "", &fields)
	lines[name] = strings.Join(fields, " ")
}

func collect(t reflect.Type, embedded string, fields *[]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("json"), ",")
		if tag[0] == "-" {
			continue
		}
		if field.Anonymous && tag[0] == "" {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			collect(inner, strings.TrimPrefix(embedded+"."+field.Name, "."), fields)
			continue
		}
		text := tag[0]
		if text == "" {
			text = field.Name
		}
		if strings.ToUpper(text[:1])+text[1:] != field.Name {
			text += "=" + field.Name
		}
		for _, option := range tag[1:] {
			if option == "omitempty" && field.Type.Kind() != reflect.Struct || option == "omitzero" {
				text += "?"
				break
			}
		}
		if field.Type.Kind() == reflect.Pointer {
			text += "*"
		}
		text += typeOf(field.Type)
		if embedded != "" && embedded != "TypeMeta" {
			text += "@" + embedded
		}
		*fields = append(*fields, text)
		visit(field.Type)
	}
}

// typeOf names a field's type where it is made of named types that are no structs, or of structs that are not in a package v1.
func typeOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	elements := t
	isNamedKey := false
	for {
		if elements.Kind() == reflect.Map && elements.Key().Name() != "string" {
			isNamedKey = true
		}
		if elements.Name() != "" || elements.Kind() != reflect.Slice && elements.Kind() != reflect.Map && elements.Kind() != reflect.Pointer {
			break
		}
		elements = elements.Elem()
	}
	isPlain := elements.PkgPath() == "" || leaves[elements.Name()] || elements.Kind() == reflect.Struct && strings.HasPrefix(elements.String(), "v1.")
	if isPlain && !isNamedKey {
		return ""
	}
	return ":" + t.String()
}

func main() {
	visit(reflect.TypeFor[apiextensions.CustomResourceDefinition]())
	for kind, t := range scheme.Scheme.AllKnownTypes() {
		if kind.Version != "__internal" && !strings.HasSuffix(kind.Kind, "Options") && !strings.HasSuffix(kind.Kind, "List") {
			visit(t)
		}
	}
	for _, line := range strings.Split(aggregator, "\n") {
		name, fields, _ := strings.Cut(line, " ")
		lines["io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."+name] = fields
	}
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintln(os.Stdout, name, lines[name])
	}
}

// Command check-deploy holds the manifests of deploy/ against the schemas of who reads them: a field that Kubernetes or
// Compose does not know, or a value of another type, is an error.
//
//	check-deploy KUBERNETES.yaml COMPOSE.yaml
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: check-deploy KUBERNETES.yaml COMPOSE.yaml"))
	}
	text, err := os.ReadFile(os.Args[1])
	fail(err)
	for i, document := range bytes.Split(text, []byte("\n---\n")) {
		if err := kubernetes(document); err != nil {
			fail(fmt.Errorf("%s, document %d: %w", os.Args[1], i+1, err))
		}
	}
	options, err := cli.NewProjectOptions([]string{os.Args[2]})
	fail(err)
	_, err = options.LoadProject(context.Background())
	fail(err)
}

func kubernetes(document []byte) error {
	var of struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &of); err != nil {
		return err
	}
	kinds := map[string]any{
		"v1 Service":                    &corev1.Service{},
		"apps/v1 StatefulSet":           &appsv1.StatefulSet{},
		"policy/v1 PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
	}
	into, ok := kinds[of.APIVersion+" "+of.Kind]
	if !ok {
		return fmt.Errorf("%s %s is not among the kinds that are checked here", of.APIVersion, of.Kind)
	}
	return yaml.UnmarshalStrict(document, into)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

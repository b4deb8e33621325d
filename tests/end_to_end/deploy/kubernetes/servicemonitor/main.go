// Reads a ServiceMonitor from standard input with the types of the Prometheus operator. Exits with 1 and names the field
// if it has one that the operator does not know.
package main

import (
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	var monitor monitoring.ServiceMonitor
	if err == nil {
		err = yaml.UnmarshalStrict(text, &monitor)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

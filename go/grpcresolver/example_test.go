//go:build cgo

package grpcresolver_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"primacy.example/go"
	"primacy.example/go/grpcresolver"
)

// A client of a role that has no primary: its call waits for one, as long as it may.
func ExampleNew() {
	endpoints := []string{etcd.Endpoint}
	connection, err := grpc.NewClient("primacy:///querycoord",
		grpc.WithResolvers(grpcresolver.New(primacy.Config{Endpoints: endpoints, Root: "example/meta"})),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{}, grpc.WaitForReady(true))
	fmt.Println(err != nil)
	// Output: true
}

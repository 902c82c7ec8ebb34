//go:build cgo

package primacy

// ShowEndpoint tells the examples where the tests' etcd is.
var ShowEndpoint func(endpoint string)

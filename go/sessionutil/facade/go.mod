// What stands in Milvus's internal/util/sessionutil, and is compiled there: `make check-milvus`. A module of its own only so
// that the one around it needs nothing of Milvus.
module github.com/milvus-io/milvus/internal/util/sessionutil

go 1.24

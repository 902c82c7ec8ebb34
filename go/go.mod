module primacy.example/go

go 1.24

module examples

go 1.26

require socketsrv v0.0.0

replace socketsrv => ../..

module socketsrv

go 1.26

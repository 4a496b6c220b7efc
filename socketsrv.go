// Command socketsrv tests and debugs low-level network protocols.
package main

func main() {}

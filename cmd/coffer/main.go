// Command coffer is an Azure-Storage-compatible server in which encryption at rest
// cannot be turned off, and the tools for its keys and data.
package main

func main() { panic("soon") }

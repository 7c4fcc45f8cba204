package cse

// CountSteps tells f of each step of reading an object of version 1.0.
func CountSteps(c *BlobClient, f func(step string)) { c.opt.countStep = f }

package cse

// library goes into the metadata of objects. It must not contain "Java": readers of
// tables tell by it how the columns were encrypted.
const library = "Coffer 0.1"

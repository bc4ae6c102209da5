// Package valuetest holds the tests that a filter makes of one value of an attribute: is it 500, is it more than 500, is it one of these,
// does it match this pattern, does it hold these words.
//
// A test is made of values in two ways. Holds says of a value, with its type, whether the test holds. The index has no values but terms: text without a type, the end of
// long ones cut. Of a term Maybe and Surely say what can be known: the values that a term may stand for are many ("500" is a string, an integer, a double and,
// were it of an even length, bytes in hexadecimal), and Maybe is true if the test holds of one of them, Surely if of all. So for each value
//
//	Surely(one of its terms)  ⟹  Holds(value)  ⟹  Maybe(one of its terms)
//
// which is all that a filter needs to know of candidates: whom it need not look at, and whom it need not look at again.
//
// # What is equal
//
// A constant without a type meets a value of any type: text as it is; a number by its value, be it an integer or a double; a bool as strconv reads one. A double is
// also equal to the text of its first ten digits, as Jaeger has always compared. A constant with a type meets values of that type only. No constant
// meets bytes, lists, maps or the value that is none.
//
// Order is that of numbers among numbers and of bytes among strings. A bool has none.
//
// A Test does not change, and goes from process to process in its encoded form. Everything may be used concurrently.
package valuetest

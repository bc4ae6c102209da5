// Program bench measures the store by itself, without Jaeger, on the workload of package workload, and prints
// the table of numbers that the project promises, with the goal beside each.
//
//	go run ./bench                      # 20,000 traces, 391,000 spans, and the growth: some three minutes
//	go run ./bench -traces 2000 -growth 0   # a quick look
//	go run ./bench -json bench.json     # for comparison over time
//	go run ./bench -profile DIR         # CPU profiles of the phases
//
// docs/performance.md tells what the numbers say.
//
// # How it measures
//
// The requests are generated first and written to a file. Each phase then runs in a process of its own, so
// that CPU time and peak memory are the store's and not the generator's:
//
//   - write: every request goes through writepath.Writer.Write, with fsync before the acknowledgement;
//     then all recent data is cut into blocks. CPU is user and system time of the process from the first
//     write until all is settled, reading the requests from the file included.
//   - recent: a single writer; after every second acknowledgement a trace of that request is read at once.
//   - read: a new process opens what write has left, reads every trace once and compares its number of spans
//     with what was sent, then measures lookups and searches. Each search is compared with the workload's truth.
//   - scatter, compact: the same in small blocks, which are then merged.
//   - acks, for each policy of fsync: OTLP requests, and spans one a call by gRPC to the plugin's services, 50
//     callers at a time and one alone; then every trace is read back.
//   - grow, growth, for stores of 1, 10 and 100 blocks: what each question costs, warm and cold, in time, CPU,
//     requests to the bucket and bytes. Lists and searches are compared with the truth.
//
// A wrong answer ends the program with an error: there is no speed without the right answer.
package main

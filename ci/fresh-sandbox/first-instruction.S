// The smallest program: it asks for the time (CLOCK_MONOTONIC), writes it to
// descriptor 1 as a struct timespec, and ends. No library, so the first
// instruction is the first of its own. `cc -static -nostdlib` makes it.
    .globl _start
    .text
_start:
#if defined(__x86_64__)
    sub $16, %rsp
    mov $228, %eax          // clock_gettime
    mov $1, %edi            // CLOCK_MONOTONIC
    mov %rsp, %rsi
    syscall
    mov $1, %eax            // write
    mov $1, %edi
    mov %rsp, %rsi
    mov $16, %edx
    syscall
    mov $231, %eax          // exit_group
    xor %edi, %edi
    syscall
#elif defined(__aarch64__)
    sub sp, sp, #16
    mov x8, #113            // clock_gettime
    mov x0, #1              // CLOCK_MONOTONIC
    mov x1, sp
    svc #0
    mov x8, #64             // write
    mov x0, #1
    mov x1, sp
    mov x2, #16
    svc #0
    mov x8, #94             // exit_group
    mov x0, #0
    svc #0
#else
#error "no machine of ours"
#endif
    .section .note.GNU-stack, "", %progbits

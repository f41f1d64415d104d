;; The Internet checksum (RFC 1071) over staged frames. checksum-code.ts is this, assembled.
;;
;; The sum does not depend on the order of bytes in a word, so words are added as they lie in
;; memory, and the result is stored as it is. Four words at a time, into two sums: they are 64 bits
;; wide, so carries need no attention until the end.
(module
  (memory (export "memory") 3)

  ;; The folded sum, not inverted, of `bytes` bytes at `at`, added to `sum`. An odd last byte counts
  ;; as if a zero followed.
  (func (export "sum") (param $at i32) (param $bytes i32) (param $sum i32) (result i32)
    (local $a i64) (local $b i64) (local $end i32)
    (local.set $a (i64.extend_i32_u (local.get $sum)))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $bytes) (i32.const -16))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $a (i64.add (local.get $a) (i64.load32_u (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=4 (local.get $at))))
        (local.set $a (i64.add (local.get $a) (i64.load32_u offset=8 (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=12 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.set $a (i64.add (local.get $a) (local.get $b)))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $bytes) (i32.const 14))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $a (i64.add (local.get $a) (i64.load16_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (br $next)))
    (if (i32.and (local.get $bytes) (i32.const 1))
      (then (local.set $a (i64.add (local.get $a) (i64.load8_u (local.get $at))))))
    (block $done
      (loop $next
        (br_if $done (i64.eqz (i64.shr_u (local.get $a) (i64.const 16))))
        (local.set $a (i64.add (i64.and (local.get $a) (i64.const 0xffff))
                               (i64.shr_u (local.get $a) (i64.const 16))))
        (br $next)))
    (i32.wrap_i64 (local.get $a))))

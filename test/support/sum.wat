;; The routine in host/devices/net/user/sum.ts: the Internet checksum (RFC 1071) of bytes in memory,
;; neither inverted nor with a pseudo header. Words are added as they lie there, little-endian: the
;; sum is that of the big-endian ones with its octets exchanged (RFC 1071, 2 B).
(module
  (import "net" "memory" (memory 1))
  (func (export "sum") (param $at i32) (param $bytes i32) (result i32)
    (local $a i64) (local $b i64) (local $end i32) (local $whole i32)
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (local.set $whole
      (i32.add (local.get $at) (i32.and (local.get $bytes) (i32.const -32))))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $whole)))
        (local.set $a (i64.add (local.get $a) (i64.load32_u (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=4 (local.get $at))))
        (local.set $a (i64.add (local.get $a) (i64.load32_u offset=8 (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=12 (local.get $at))))
        (local.set $a (i64.add (local.get $a) (i64.load32_u offset=16 (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=20 (local.get $at))))
        (local.set $a (i64.add (local.get $a) (i64.load32_u offset=24 (local.get $at))))
        (local.set $b (i64.add (local.get $b) (i64.load32_u offset=28 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 32)))
        (br $more)))
    (local.set $whole (i32.sub (local.get $end) (i32.const 1)))
    (block $done
      (loop $more
        (br_if $done (i32.ge_s (local.get $at) (local.get $whole)))
        (local.set $a (i64.add (local.get $a) (i64.load16_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (br $more)))
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then (local.set $a (i64.add (local.get $a) (i64.load8_u (local.get $at))))))
    (local.set $a (i64.add (local.get $a) (local.get $b)))
    ;; Each line takes the carries back in: 64 bits to 33, to 32, to 17, to 16.
    (local.set $a (i64.add (i64.and (local.get $a) (i64.const 0xffffffff))
      (i64.shr_u (local.get $a) (i64.const 32))))
    (local.set $a (i64.add (i64.and (local.get $a) (i64.const 0xffffffff))
      (i64.shr_u (local.get $a) (i64.const 32))))
    (local.set $a (i64.add (i64.and (local.get $a) (i64.const 0xffff))
      (i64.shr_u (local.get $a) (i64.const 16))))
    (local.set $a (i64.add (i64.and (local.get $a) (i64.const 0xffff))
      (i64.shr_u (local.get $a) (i64.const 16))))
    (local.set $end (i32.wrap_i64 (local.get $a)))
    (i32.or
      (i32.shl (i32.and (local.get $end) (i32.const 0xff)) (i32.const 8))
      (i32.shr_u (local.get $end) (i32.const 8)))))

;; Inner products of rows of 8-bit numbers with one vector of 16-bit numbers. A row and the vector
;; are multiples of 16 long; the caller sees to it that no sum passes 32 bits.
(module
  (memory (export "memory") 1)

  (func $dot (param $row i32) (param $vector i32) (param $length i32) (result i32)
    (local $end i32)
    (local $eight v128)
    (local $a v128)
    (local $b v128)
    (local.set $end (i32.add (local.get $row) (local.get $length)))
    (loop $next
      (local.set $eight (v128.load (local.get $row)))
      (local.set $a (i32x4.add (local.get $a)
        (i32x4.dot_i16x8_s
          (i16x8.extend_low_i8x16_s (local.get $eight))
          (v128.load (local.get $vector)))))
      (local.set $b (i32x4.add (local.get $b)
        (i32x4.dot_i16x8_s
          (i16x8.extend_high_i8x16_s (local.get $eight))
          (v128.load offset=16 (local.get $vector)))))
      (local.set $row (i32.add (local.get $row) (i32.const 16)))
      (local.set $vector (i32.add (local.get $vector) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $row) (local.get $end))))
    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $a)) (i32x4.extract_lane 1 (local.get $a)))
      (i32.add (i32x4.extract_lane 2 (local.get $a)) (i32x4.extract_lane 3 (local.get $a)))))

  ;; The products of so many rows, whose addresses stand in a list, into 32-bit numbers.
  (func (export "dots")
    (param $list i32) (param $rows i32) (param $vector i32) (param $length i32) (param $out i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (i32.store (local.get $out)
          (call $dot (i32.load (local.get $list)) (local.get $vector) (local.get $length)))
        (local.set $list (i32.add (local.get $list) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (br $next)))))

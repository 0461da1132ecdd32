;; Inner products of rows with a vector. Rows and vectors are multiples of 16 components long.
(module
  (memory (export "memory") 1)

  (func $sum (param $four v128) (result i32)
    (i32.add
      (i32.add
        (i32x4.extract_lane 0 (local.get $four)) (i32x4.extract_lane 1 (local.get $four)))
      (i32.add
        (i32x4.extract_lane 2 (local.get $four)) (i32x4.extract_lane 3 (local.get $four)))))

  ;; Of 8-bit numbers with 16-bit numbers; the caller sees to it that no sum passes 32 bits.
  (func $dot (export "dot") (param $row i32) (param $vector i32) (param $length i32) (result i32)
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
    (call $sum (i32x4.add (local.get $a) (local.get $b))))

  ;; The products of so many rows, one after the other, into 32-bit numbers.
  (func (export "dots")
    (param $row i32) (param $rows i32) (param $vector i32) (param $length i32) (param $out i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (i32.store (local.get $out)
          (call $dot (local.get $row) (local.get $vector) (local.get $length)))
        (local.set $row (i32.add (local.get $row) (local.get $length)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (br $next))))

  ;; The same with four vectors at once, whose components alternate by 16: the numbers of each vector
  ;; stand together, those of the next one $apart bytes further on.
  (func (export "dotsOfFour")
    (param $row i32) (param $rows i32) (param $vectors i32) (param $length i32) (param $out i32)
    (param $apart i32)
    (local $end i32)
    (local $second i32)
    (local $third i32)
    (local $fourth i32)
    (local $row_end i32)
    (local $vector i32)
    (local $eight v128)
    (local $low v128)
    (local $high v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $second (i32.add (local.get $out) (local.get $apart)))
    (local.set $third (i32.add (local.get $second) (local.get $apart)))
    (local.set $fourth (i32.add (local.get $third) (local.get $apart)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (local.set $row_end (i32.add (local.get $row) (local.get $length)))
        (local.set $vector (local.get $vectors))
        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (local.set $c (v128.const i32x4 0 0 0 0))
        (local.set $d (v128.const i32x4 0 0 0 0))
        (loop $more
          (local.set $eight (v128.load (local.get $row)))
          (local.set $low (i16x8.extend_low_i8x16_s (local.get $eight)))
          (local.set $high (i16x8.extend_high_i8x16_s (local.get $eight)))
          (local.set $a (i32x4.add (local.get $a) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (v128.load (local.get $vector)))
            (i32x4.dot_i16x8_s (local.get $high) (v128.load offset=16 (local.get $vector))))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (v128.load offset=32 (local.get $vector)))
            (i32x4.dot_i16x8_s (local.get $high) (v128.load offset=48 (local.get $vector))))))
          (local.set $c (i32x4.add (local.get $c) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (v128.load offset=64 (local.get $vector)))
            (i32x4.dot_i16x8_s (local.get $high) (v128.load offset=80 (local.get $vector))))))
          (local.set $d (i32x4.add (local.get $d) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (v128.load offset=96 (local.get $vector)))
            (i32x4.dot_i16x8_s (local.get $high) (v128.load offset=112 (local.get $vector))))))
          (local.set $row (i32.add (local.get $row) (i32.const 16)))
          (local.set $vector (i32.add (local.get $vector) (i32.const 128)))
          (br_if $more (i32.lt_u (local.get $row) (local.get $row_end))))
        (i32.store (local.get $out) (call $sum (local.get $a)))
        (i32.store (local.get $second) (call $sum (local.get $b)))
        (i32.store (local.get $third) (call $sum (local.get $c)))
        (i32.store (local.get $fourth) (call $sum (local.get $d)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $second (i32.add (local.get $second) (i32.const 4)))
        (local.set $third (i32.add (local.get $third) (i32.const 4)))
        (local.set $fourth (i32.add (local.get $fourth) (i32.const 4)))
        (br $next))))

  ;; Of a row of 32-bit floats with a vector of 64-bit floats, both so many components long.
  (func (export "product")
    (param $row i32) (param $vector i32) (param $length i32) (result f64)
    (local $end i32)
    (local $four v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local.set $end (i32.add (local.get $row) (i32.shl (local.get $length) (i32.const 2))))
    (loop $next
      (local.set $four (v128.load (local.get $row)))
      (local.set $a (f64x2.add (local.get $a)
        (f64x2.mul
          (f64x2.promote_low_f32x4 (local.get $four))
          (v128.load (local.get $vector)))))
      (local.set $b (f64x2.add (local.get $b)
        (f64x2.mul
          (f64x2.promote_low_f32x4
            (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7
              (local.get $four) (local.get $four)))
          (v128.load offset=16 (local.get $vector)))))
      (local.set $four (v128.load offset=16 (local.get $row)))
      (local.set $c (f64x2.add (local.get $c)
        (f64x2.mul
          (f64x2.promote_low_f32x4 (local.get $four))
          (v128.load offset=32 (local.get $vector)))))
      (local.set $d (f64x2.add (local.get $d)
        (f64x2.mul
          (f64x2.promote_low_f32x4
            (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7
              (local.get $four) (local.get $four)))
          (v128.load offset=48 (local.get $vector)))))
      (local.set $row (i32.add (local.get $row) (i32.const 32)))
      (local.set $vector (i32.add (local.get $vector) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $row) (local.get $end))))
    (local.set $a (f64x2.add
      (f64x2.add (local.get $a) (local.get $b))
      (f64x2.add (local.get $c) (local.get $d))))
    (f64.add (f64x2.extract_lane 0 (local.get $a)) (f64x2.extract_lane 1 (local.get $a)))))

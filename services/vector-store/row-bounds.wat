;; What is done with the products of rows and a vector, four rows at once. Numbers of rows are
;; multiples of 4.
(module
  (import "vectors" "memory" (memory 1))

  ;; How large the true product of each row can be at most, a 32-bit float: base + step * product *
  ;; $scale + min(error * $of_error, step * $of_step) + error * $of_both + rest * $of_rest. Of each row
  ;; $facts has the step, $apart bytes further on the error, and as much further on the rest.
  (func (export "bounds")
    (param $products i32) (param $rows i32) (param $facts i32) (param $apart i32) (param $out i32)
    (param $base f32) (param $scale f32) (param $of_error f32) (param $of_step f32)
    (param $of_both f32) (param $of_rest f32)
    (local $end i32)
    (local $step v128)
    (local $error v128)
    (local $rest i32)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $rest (i32.shl (local.get $apart) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (local.set $step (v128.load (local.get $facts)))
        (local.set $error (v128.load (i32.add (local.get $facts) (local.get $apart))))
        (v128.store (local.get $out)
          (f32x4.add
            (f32x4.add
              (f32x4.add
                (f32x4.splat (local.get $base))
                (f32x4.mul
                  (f32x4.mul
                    (f32x4.convert_i32x4_s (v128.load (local.get $products)))
                    (f32x4.splat (local.get $scale)))
                  (local.get $step)))
              (f32x4.min
                (f32x4.mul (local.get $error) (f32x4.splat (local.get $of_error)))
                (f32x4.mul (local.get $step) (f32x4.splat (local.get $of_step)))))
            (f32x4.add
              (f32x4.mul (local.get $error) (f32x4.splat (local.get $of_both)))
              (f32x4.mul
                (v128.load (i32.add (local.get $facts) (local.get $rest)))
                (f32x4.splat (local.get $of_rest))))))
        (local.set $products (i32.add (local.get $products) (i32.const 16)))
        (local.set $facts (i32.add (local.get $facts) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (br $next))))

  ;; Counts the 32-bit floats that are at least $floor into $parts parts of a range that begins at
  ;; $least; those outside of it go to its ends.
  (func (export "count")
    (param $values i32) (param $rows i32) (param $floor f32) (param $counts i32) (param $parts i32)
    (param $least f32) (param $scale f32)
    (local $end i32)
    (local $most f32)
    (local $four v128)
    (local $mask i32)
    (local $at i32)
    (local.set $end (i32.add (local.get $values) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $most (f32.convert_i32_s (i32.sub (local.get $parts) (i32.const 1))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $values) (local.get $end)))
        (local.set $four (v128.load (local.get $values)))
        (local.set $mask
          (i32x4.bitmask (f32x4.ge (local.get $four) (f32x4.splat (local.get $floor)))))
        (block $counted
          (loop $more
            (br_if $counted (i32.eqz (local.get $mask)))
            (local.set $at
              (i32.add
                (local.get $counts)
                (i32.shl
                  (i32.trunc_sat_f32_s
                    (f32.min
                      (f32.max
                        (f32.mul
                          (f32.sub
                            (f32.load
                              (i32.add
                                (local.get $values)
                                (i32.shl (i32.ctz (local.get $mask)) (i32.const 2))))
                            (local.get $least))
                          (local.get $scale))
                        (f32.const 0))
                      (local.get $most)))
                  (i32.const 2))))
            (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
            (local.set $mask
              (i32.and (local.get $mask) (i32.sub (local.get $mask) (i32.const 1))))
            (br $more)))
        (local.set $values (i32.add (local.get $values) (i32.const 16)))
        (br $next))))

  ;; Writes down which 32-bit floats are at least $least, as numbers from $first on, and returns how
  ;; many they are. At $beyond stands the largest of the others, if it is above what stood there.
  (func (export "gather")
    (param $values i32) (param $rows i32) (param $first i32) (param $least f32) (param $out i32)
    (param $beyond i32)
    (result i32)
    (local $end i32)
    (local $begin i32)
    (local $four v128)
    (local $reach v128)
    (local $others v128)
    (local $mask i32)
    (local.set $begin (local.get $out))
    (local.set $end (i32.add (local.get $values) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $others (f32x4.splat (f32.load (local.get $beyond))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $values) (local.get $end)))
        (local.set $four (v128.load (local.get $values)))
        (local.set $reach (f32x4.ge (local.get $four) (f32x4.splat (local.get $least))))
        (local.set $others
          (f32x4.pmax (local.get $others)
            (v128.bitselect
              (local.get $others) (local.get $four) (local.get $reach))))
        (local.set $mask (i32x4.bitmask (local.get $reach)))
        (block $written
          (loop $more
            (br_if $written (i32.eqz (local.get $mask)))
            (i32.store (local.get $out)
              (i32.add (local.get $first) (i32.ctz (local.get $mask))))
            (local.set $out (i32.add (local.get $out) (i32.const 4)))
            (local.set $mask
              (i32.and (local.get $mask) (i32.sub (local.get $mask) (i32.const 1))))
            (br $more)))
        (local.set $values (i32.add (local.get $values) (i32.const 16)))
        (local.set $first (i32.add (local.get $first) (i32.const 4)))
        (br $next)))
    (f32.store (local.get $beyond)
      (f32.max
        (f32.max
          (f32x4.extract_lane 0 (local.get $others)) (f32x4.extract_lane 1 (local.get $others)))
        (f32.max
          (f32x4.extract_lane 2 (local.get $others)) (f32x4.extract_lane 3 (local.get $others)))))
    (i32.shr_u (i32.sub (local.get $out) (local.get $begin)) (i32.const 2)))

  ;; The products of so many rows of 32-bit floats, one after the other, with a vector of such, which
  ;; are multiples of 4 long.
  (func (export "products")
    (param $row i32) (param $rows i32) (param $vector i32) (param $length i32) (param $out i32)
    (local $end i32)
    (local $apart i32)
    (local $at i32)
    (local $from i32)
    (local $four v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $apart (i32.shl (local.get $length) (i32.const 2)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (local.set $c (v128.const i32x4 0 0 0 0))
        (local.set $d (v128.const i32x4 0 0 0 0))
        (local.set $at (i32.const 0))
        (loop $more
          (local.set $four (v128.load (i32.add (local.get $vector) (local.get $at))))
          (local.set $from (i32.add (local.get $row) (local.get $at)))
          (local.set $a (f32x4.add (local.get $a)
            (f32x4.mul (local.get $four) (v128.load (local.get $from)))))
          (local.set $from (i32.add (local.get $from) (local.get $apart)))
          (local.set $b (f32x4.add (local.get $b)
            (f32x4.mul (local.get $four) (v128.load (local.get $from)))))
          (local.set $from (i32.add (local.get $from) (local.get $apart)))
          (local.set $c (f32x4.add (local.get $c)
            (f32x4.mul (local.get $four) (v128.load (local.get $from)))))
          (local.set $from (i32.add (local.get $from) (local.get $apart)))
          (local.set $d (f32x4.add (local.get $d)
            (f32x4.mul (local.get $four) (v128.load (local.get $from)))))
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br_if $more (i32.lt_u (local.get $at) (local.get $apart))))
        (f32.store (local.get $out) (call $sum (local.get $a)))
        (f32.store offset=4 (local.get $out) (call $sum (local.get $b)))
        (f32.store offset=8 (local.get $out) (call $sum (local.get $c)))
        (f32.store offset=12 (local.get $out) (call $sum (local.get $d)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $row (i32.add (local.get $from) (i32.const 16)))
        (br $next))))

  (func $sum (param $four v128) (result f32)
    (f32.add
      (f32.add
        (f32x4.extract_lane 0 (local.get $four)) (f32x4.extract_lane 1 (local.get $four)))
      (f32.add
        (f32x4.extract_lane 2 (local.get $four)) (f32x4.extract_lane 3 (local.get $four))))))

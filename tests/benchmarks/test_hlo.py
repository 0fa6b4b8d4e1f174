"""What is counted in the text of a compiled program: a loop of three trips, counted by hand."""

import pytest

from benchmarks.hlo import Program

TEXT = """
HloModule step

%written (p.0: f32[3,8], p.1: f32[8], p.2: s32[]) -> f32[3,8] {
  %p.0 = f32[3,8]{1,0} parameter(0)
  %p.1 = f32[8]{0} parameter(1)
  %p.2 = s32[] parameter(2)
  %row.1 = f32[1,8]{1,0} bitcast(%p.1)
  ROOT %update.1 = f32[3,8]{1,0} dynamic-update-slice(%p.0, %row.1, %p.2, %p.2)
}

%body (state.1: (s32[], f32[3,8], bf16[4,5])) -> (s32[], f32[3,8], bf16[4,5]) {
  %state.1 = (s32[], f32[3,8]{1,0}, bf16[4,5]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%state.1), index=0
  %rows.1 = f32[3,8]{1,0} get-tuple-element(%state.1), index=1
  %left.1 = bf16[4,5]{1,0} get-tuple-element(%state.1), index=2
  %right.1 = bf16[5,8]{1,0} constant({...})
  %product.1 = (f32[4,8]{1,0}, s8[16]{0}) custom-call(%left.1, %right.1), MATMUL
  %line.1 = f32[8]{0} constant({...})
  %kept.1 = f32[3,8]{1,0} fusion(%rows.1, %line.1, %i.1), kind=kLoop, calls=%written
  ROOT %next.1 = (s32[], f32[3,8]{1,0}, bf16[4,5]{1,0}) tuple(%i.1, %kept.1, %left.1)
}

%condition (state.2: (s32[], f32[3,8], bf16[4,5])) -> pred[] {
  %state.2 = (s32[], f32[3,8]{1,0}, bf16[4,5]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%state.2), index=0
  %trips.2 = s32[] constant(3)
  ROOT %less.2 = pred[] compare(%i.2, %trips.2), direction=LT
}

ENTRY %main (given: (s32[], f32[3,8], bf16[4,5])) -> f32[1,8] {
  %given = (s32[], f32[3,8]{1,0}, bf16[4,5]{1,0}) parameter(0)
  %zero = s32[] constant(0)
  %loop = (s32[], f32[3,8]{1,0}, bf16[4,5]{1,0}) while(%given), condition=%condition, body=%bodyTRIP
  %all = f32[3,8]{1,0} get-tuple-element(%loop), index=1
  ROOT %one = f32[1,8]{1,0} dynamic-slice(%all, %zero, %zero), dynamic_slice_sizes={1,8}
}
"""

MATMUL = (
    'custom_call_target="__cublas$lt$matmul", '
    'backend_config={"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}'
)


@pytest.mark.parametrize('known', ['', ', backend_config={"known_trip_count":{"n":"3"}}'])
def test_loops_matmuls_and_parts_of_arrays(known):
    program = Program(TEXT.replace('TRIP', known).replace('MATMUL', MATMUL))
    assert program.flops() == 3 * 2 * (4 * 8) * 5
    product = (4 * 5 * 2 + 5 * 8 * 2) + (4 * 8 * 4 + 16)
    kept = (8 * 4 + 8 * 4 + 4) + 8 * 4  # of the array, the row alone is read and written
    one = 8 * 4 + 4 + 4 + 8 * 4
    assert program.moved() == 3 * (product + kept) + one
    assert program.kernels() == {} and not program.exchanges()

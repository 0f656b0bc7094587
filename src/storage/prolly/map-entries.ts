/** One entry of a map from bytes to bytes. Views into shared nodes: callers must not write to them. */
export interface MapEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Sets `key` to `value`, or removes it. */
export interface MapEdit {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

/** One key that differs: only in the old map, only in the new one, or in both with other values. */
export interface MapDifference {
  readonly key: Uint8Array
  readonly before: Uint8Array | undefined
  readonly after: Uint8Array | undefined
}

/** A key that two sides changed differently since their base; undefined where it is absent. */
export interface MapConflict {
  readonly key: Uint8Array
  readonly base: Uint8Array | undefined
  readonly ours: Uint8Array | undefined
  readonly theirs: Uint8Array | undefined
}

/** Keys from `from` on, up to but without `to`; all of them by default. */
export interface KeyRange {
  readonly from?: Uint8Array | undefined
  readonly to?: Uint8Array | undefined
}

/** What is in runs each of which is in order, in order; it is found as it is asked for, from few runs at a time. */
export function* mergedRuns<Item>(
  runs: readonly (readonly Item[])[],
  compare: (left: Item, right: Item) => number,
): Generator<Item, undefined> {
  if (runs.length < 2) {
    for (const run of runs) yield* run
    return
  }
  const middle = runs.length >> 1
  const left = mergedRuns(runs.slice(0, middle), compare)
  const right = mergedRuns(runs.slice(middle), compare)
  let [first, second] = [left.next(), right.next()]
  while (first.done !== true && second.done !== true) {
    if (compare(first.value, second.value) <= 0) {
      yield first.value
      first = left.next()
    } else {
      yield second.value
      second = right.next()
    }
  }
  for (; first.done !== true; first = left.next()) yield first.value
  for (; second.done !== true; second = right.next()) yield second.value
}

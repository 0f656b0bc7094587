/** The values of the map in an order in which each comes after those that it leads to. */
export function ancestorsFirst<Item>(
  items: ReadonlyMap<string, Item>,
  ancestorsOf: (item: Item) => Iterable<string>,
): readonly Item[] {
  const ordered = new Set<Item>()
  const seen = new Set<Item>()
  for (const start of items.values()) {
    const ahead = [start]
    for (let item = ahead.at(-1); item !== undefined; item = ahead.at(-1)) {
      if (seen.has(item)) {
        ordered.add(item)
        ahead.pop()
        continue
      }
      seen.add(item)
      for (const name of ancestorsOf(item)) {
        const ancestor = items.get(name)
        if (ancestor !== undefined && !seen.has(ancestor)) ahead.push(ancestor)
      }
    }
  }
  return [...ordered]
}

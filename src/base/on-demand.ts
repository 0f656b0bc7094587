/**
 * Something that is made by the first call, for all. When that fails, whoever waits for it hears why, and
 * the next call tries again.
 */
export function onDemand<Made>(make: () => Promise<Made>): () => Promise<Made> {
  let made: Promise<Made> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}

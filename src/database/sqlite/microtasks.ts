/**
 * Settles as `running` does; but rejects when `running` is still pending after every microtask has
 * run, since then it waits for something other than an answer that is there already.
 *
 * Our statements answer at once, so an operation that awaits nothing else settles within one turn
 * of the event loop, and a queue of operations can never hang behind one that waits for a network.
 */
export async function settleThisTurn<Result>(running: Promise<Result>): Promise<Result> {
  return await new Promise<Result>((resolve, reject) => {
    // The end of a turn, not a time: no clock could say it.
    // oxlint-disable-next-line no-restricted-globals
    const turnEnd = setImmediate(() => {
      reject(new Error('invariant broken: a database operation awaits nothing but its transaction'))
    })
    running.then(
      (result) => {
        clearImmediate(turnEnd)
        resolve(result)
      },
      (error: unknown) => {
        clearImmediate(turnEnd)
        // Passed on as it was thrown.
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors
        reject(error)
      },
    )
  })
}

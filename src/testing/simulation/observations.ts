import type { Connection } from '../../database/sqlite/connection.ts'

type Facts = ReadonlyMap<string, string>
type NamedFact = { readonly name: string; readonly fact: string }

const resultFact = 'result of datum'

/** What never changes once it is so, by name: of rows that may go, but not become others. */
const lasting: Readonly<Record<string, string>> = {
  'root of commit': `SELECT id AS name, root AS fact FROM commits WHERE root IS NOT NULL`,
  'end of job': `SELECT id AS name, state || ' of ' || output_commit AS fact FROM jobs
    WHERE state IN ('success', 'failure', 'killed')`,
  [resultFact]: `SELECT datum AS name, output_root || ' ' || job AS fact FROM datum_results
    WHERE output_root <> ''`,
}

/** Compares what rows say with what they said before: what has ended stays as it was. */
export class Observations {
  readonly #rows: Connection
  #known = new Map<string, Facts>()

  constructor(rows: Connection) {
    this.#rows = rows
  }

  /** The first law that is broken, in words. */
  look(): string | undefined {
    let broken: string | undefined
    for (const [what, sql] of Object.entries(lasting)) {
      const now = new Map<string, string>()
      const before = this.#known.get(what)
      for (const { name, fact } of this.#rows.all<NamedFact>(sql)) {
        now.set(name, fact)
        const then = before?.get(name)
        if (then !== undefined && then !== fact && !this.#isOfDeletedJob(what, then)) {
          broken ??= `the ${what} ${name} was ${then}, and is ${fact}`
        }
      }
      this.#known.set(what, now)
    }
    return broken
  }

  /** Results go with their jobs, and then the datum may be processed again. */
  #isOfDeletedJob(what: string, fact: string): boolean {
    if (what !== resultFact) return false
    const [, job = ''] = fact.split(' ')
    return this.#rows.get('SELECT id FROM jobs WHERE id = ?', [job]) === undefined
  }
}

import { expect, test } from 'vitest'
import { Dice } from '../../src/testing/busy-world.ts'
import { checkLaws } from '../../src/testing/simulation/laws.ts'
import { Simulation } from '../../src/testing/simulation/simulation.ts'
import { takeStep } from '../../src/testing/simulation/simulation-steps.ts'
import { runSteps, stepsOf, verdict } from '../../src/testing/simulation/simulation-run.ts'

/** `npm run simulate` runs more of it. */
const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const stepCount = 100

for (const seed of seeds) {
  test(`whatever people and crashes do, every law holds at the end: seed ${seed}`, async () => {
    expect(await verdict(seed, stepCount)).toBeUndefined()
  })
}

test('one seed replays a whole run', async () => {
  const steps = stepsOf(18, stepCount)
  const [once, again] = [await runSteps(18, steps), await runSteps(18, steps)]
  expect(once.broken).toBeUndefined()
  expect(again).toEqual(once)
  const other = await runSteps(19, steps)
  expect(other.eventCount).not.toBe(once.eventCount)
})

test('a step that does not end is told of, and breaks a law', async () => {
  const { broken, isHanging } = await runSteps(18, stepsOf(18, stepCount), 0)
  expect(isHanging).toBe(true)
  expect(broken).toMatch(/^step \d+ \(\w+\) did not end within 0 s$/)
})

/** What damage would be, and what is said of it. */
const damages: readonly {
  readonly what: string
  readonly sql: string
  readonly says: RegExp
}[] = [
  {
    what: 'a finished commit that is gone',
    sql: `DELETE FROM commits WHERE repo = 'a'`,
    says: /a@|a\/|commit|fsck/,
  },
  {
    what: 'a finished commit that has become another',
    sql: `UPDATE commits SET root = (SELECT root FROM commits WHERE repo = 'b' AND root IS NOT NULL)
      WHERE repo = 'a' AND finished_at IS NOT NULL`,
    says: /the root of commit \w+ was/,
  },
  {
    what: 'a job that ended otherwise',
    sql: `UPDATE job_rows SET state = 'killed' WHERE state = 'success'`,
    says: /the end of job [\w-]+ was success/,
  },
  {
    what: 'counters that do not balance',
    sql: `UPDATE job_rows SET datum_total = datum_total + 1 WHERE state = 'success'`,
    says: /do not balance|has \d+ datums, and should/,
  },
  {
    what: 'an output that is not what the code makes',
    sql: `UPDATE datum_results SET output_root = (SELECT root FROM commits WHERE repo = 'b' AND root IS NOT NULL)`,
    says: /the result of datum \w+ was/,
  },
  {
    what: 'a tick that is gone',
    sql: `DELETE FROM commits WHERE repo LIKE '%_tick' AND parent IS NULL`,
    says: /_tick/,
  },
  {
    what: 'a branch that has moved without a reason',
    sql: `UPDATE branches SET head = (SELECT id FROM commits WHERE repo = 'log' ORDER BY written LIMIT 1)
      WHERE name IN ('staging', 'late')`,
    says: /has moved/,
  },
]

for (const { what, sql, says } of damages) {
  test(`the simulator notices ${what}`, async () => {
    const simulation = await Simulation.open(4)
    try {
      const dice = new Dice(4)
      const commits = ['commit', 'commit', 'commit', 'commit'] as const
      const creates = ['create', 'create', 'create', 'create'] as const
      for (const kind of ['follow', 'follow', ...commits, ...creates, 'pass', 'settle'] as const) {
        for (let count = 0; count < 3; count += 1) {
          await takeStep(simulation, { kind, seed: dice.roll(1000) })
        }
      }
      simulation.observe()
      simulation.rows.execute('PRAGMA foreign_keys = OFF')
      expect(simulation.rows.run(sql).changeCount).toBeGreaterThan(0)
      await expect(checkLaws(simulation)).rejects.toThrow(says)
    } finally {
      simulation.close()
    }
  })
}

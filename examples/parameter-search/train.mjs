// Trains one model of how much power a house takes: for the degree of the polynomial of temperature,
// and the number of waves in a day, that this datum has. The first days teach it, the last judge it.
// It writes /pfs/out/<degree>-<waves>.json.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const pfs = process.env.PFS ?? '/pfs'
const judgingDays = 7
const damping = 1e-3

const only = (directory) => Number(readdirSync(join(pfs, directory))[0])

/** All hours: of `hour,celsius` and `hour,kilowatts`, in files of a day each. */
function readHours() {
  const days = readdirSync(join(pfs, 'readings/power')).toSorted()
  return days.flatMap((day, at) => {
    const [power, temperature] = ['power', 'temperature'].map((series) =>
      readFileSync(join(pfs, 'readings', series, day), 'utf8')
        .trim()
        .split('\n'),
    )
    return power.map((line, row) => {
      const [hour, kilowatts] = line.split(',').map(Number)
      return { hour, kilowatts, celsius: Number(temperature[row].split(',')[1]), day: at }
    })
  })
}

function featuresOf({ hour, celsius }, { degree, waves }) {
  const features = [1]
  for (let power = 1; power <= degree; power += 1) features.push((celsius / 10) ** power)
  for (let wave = 1; wave <= waves; wave += 1) {
    const angle = (2 * Math.PI * wave * hour) / 24
    features.push(Math.sin(angle), Math.cos(angle))
  }
  return features
}

/** Least squares: solves (X'X + damping) w = X'y by Gaussian elimination. */
function fit(rows, targets) {
  const size = rows[0].length
  const system = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (_unused, j) =>
      rows.reduce((sum, row) => sum + row[i] * row[j], i === j ? damping : 0),
    ),
    rows.reduce((sum, row, at) => sum + row[i] * targets[at], 0),
  ])
  for (let pivot = 0; pivot < size; pivot += 1) {
    for (let row = 0; row < size; row += 1) {
      if (row === pivot) continue
      const factor = system[row][pivot] / system[pivot][pivot]
      for (let column = pivot; column <= size; column += 1) {
        system[row][column] -= factor * system[pivot][column]
      }
    }
  }
  return system.map((row, at) => row[size] / row[at])
}

const settings = { degree: only('degrees'), waves: only('waves') }
const hours = readHours()
const firstJudged = Math.max(...hours.map(({ day }) => day)) + 1 - judgingDays
const taught = hours.filter(({ day }) => day < firstJudged)
const judged = hours.filter(({ day }) => day >= firstJudged)
const weights = fit(
  taught.map((hour) => featuresOf(hour, settings)),
  taught.map(({ kilowatts }) => kilowatts),
)
const squares = judged.map((hour) => {
  const predicted = featuresOf(hour, settings).reduce(
    (sum, value, at) => sum + value * weights[at],
    0,
  )
  return (predicted - hour.kilowatts) ** 2
})
// Versions of Node differ in the last digits of a sine.
const rounded = (value) => Number(value.toPrecision(9))
const error = rounded(Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length))
const name = `${settings.degree}-${settings.waves}.json`
writeFileSync(
  join(pfs, 'out', name),
  `${JSON.stringify({ ...settings, error, weights: weights.map(rounded) })}\n`,
)
console.log(`degree ${settings.degree}, ${settings.waves} waves: ${error.toFixed(3)} kW off`)

// Draws what a house used each day over how cold it was. It reads the summaries below /pfs/day, and
// writes /pfs/out/days.csv and /pfs/out/days.svg.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const pfs = process.env.PFS ?? '/pfs'
const size = { width: 720, height: 360, left: 56, right: 56, top: 44, bottom: 44 }
const colours = { power: '#e07b39', temperature: '#2a6f97', text: '#333333', grid: '#dddddd' }

function readDays(directory) {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.summary'))
    .toSorted()
    .map((name) => readFileSync(join(directory, name), 'utf8').trim().split(','))
    .map(([day, celsius, kilowattHours]) => ({
      day,
      celsius: Number(celsius),
      kilowattHours: Number(kilowattHours),
    }))
}

/** Maps a value to pixels, over round numbers: five steps. */
function scaleOf(values, fromZero) {
  const low = fromZero ? 0 : Math.floor(Math.min(...values) / 5) * 5
  const high = Math.max(low + 5, Math.ceil(Math.max(...values) / 5) * 5)
  const height = size.height - size.top - size.bottom
  return {
    steps: Array.from({ length: 6 }, (_, at) => low + ((high - low) * at) / 5),
    toPixels: (value) => size.height - size.bottom - ((value - low) / (high - low)) * height,
  }
}

function text(x, y, content, { anchor = 'middle', colour = colours.text } = {}) {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}">${content}</text>`
}

function drawAxes({ power, temperature }) {
  const right = size.width - size.right
  return power.steps.flatMap((step, at) => {
    const y = power.toPixels(step)
    return [
      `<line x1="${size.left}" x2="${right}" y1="${y}" y2="${y}" stroke="${colours.grid}"/>`,
      text(size.left - 8, y + 4, step, { anchor: 'end', colour: colours.power }),
      text(right + 8, y + 4, temperature.steps[at], {
        anchor: 'start',
        colour: colours.temperature,
      }),
    ]
  })
}

function drawDays(days, { power, temperature }) {
  const slot = (size.width - size.left - size.right) / days.length
  const middleOf = (at) => size.left + (at + 0.5) * slot
  const bottom = size.height - size.bottom
  const bars = days.map(({ day, kilowattHours }, at) => {
    const y = power.toPixels(kilowattHours)
    const x = middleOf(at) - slot * 0.35
    const bar = `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(slot * 0.7).toFixed(1)}" height="${(bottom - y).toFixed(1)}" fill="${colours.power}" fill-opacity="0.75"/>`
    return `${bar}${text(middleOf(at), bottom + 18, day.slice(5))}`
  })
  const points = days.map(
    ({ celsius }, at) => `${middleOf(at).toFixed(1)},${temperature.toPixels(celsius).toFixed(1)}`,
  )
  const line = `<polyline points="${points.join(' ')}" fill="none" stroke="${colours.temperature}" stroke-width="2.5"/>`
  const dots = points.map((point) => {
    const [x, y] = point.split(',')
    return `<circle cx="${x}" cy="${y}" r="3.5" fill="${colours.temperature}"/>`
  })
  return [...bars, line, ...dots]
}

function drawChart(days) {
  const scales = {
    power: scaleOf(
      days.map(({ kilowattHours }) => kilowattHours),
      true,
    ),
    temperature: scaleOf(
      days.map(({ celsius }) => celsius),
      false,
    ),
  }
  const legend = [
    text(size.left, 22, 'power, kWh a day', { anchor: 'start', colour: colours.power }),
    text(size.width - size.right, 22, 'temperature, mean °C', {
      anchor: 'end',
      colour: colours.temperature,
    }),
  ]
  const parts = [...drawAxes(scales), ...drawDays(days, scales), ...legend]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
${parts.join('\n')}
</svg>
`
}

const days = readDays(join(pfs, 'day'))
const rows = days.map(
  ({ day, celsius, kilowattHours }) => `${day},${celsius.toFixed(1)},${kilowattHours.toFixed(1)}`,
)
writeFileSync(join(pfs, 'out/days.csv'), `${['day,celsius,kwh', ...rows].join('\n')}\n`)
if (days.length > 0) writeFileSync(join(pfs, 'out/days.svg'), drawChart(days))

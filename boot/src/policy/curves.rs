//! Hit ratios against memory, as SVG.

use std::{
    error,
    fs::{self, Permissions},
    io,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use plotters::prelude::*;
use quire_boot::target;

use super::{
    error::PolicyError,
    report::percent,
    run::{Contender, Results},
    trace::Trace,
};

/// Where pictures are written.
pub(super) struct Directory(PathBuf);

const SIZE: (u32, u32) = (960, 560);
/// The width of what is beside the curves.
const LEGEND: u32 = 130;

impl Directory {
    /// Makes the directory.
    ///
    /// # Errors
    /// [`PolicyError::Curves`].
    pub(super) fn new(path: Option<&Path>) -> Result<Self, PolicyError> {
        let path = path.map_or_else(|| target().join("policy"), Path::to_owned);
        fs::create_dir_all(&path).map_err(|source| PolicyError::Curves { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// Draws the curves of a trace, whole or not at all; one size of memory makes no curve.
    ///
    /// # Errors
    /// [`PolicyError::Curves`].
    pub(super) fn draw(&self, trace: &Trace, results: &Results) -> Result<Option<PathBuf>, PolicyError> {
        let mut frames: Vec<usize> = results.frames.iter().map(|(frames, _)| *frames).collect();
        frames.sort_unstable();
        frames.dedup();
        let [first, .., last] = frames[..] else { return Ok(None) };
        let path = self.0.join(&trace.name).with_added_extension("svg");
        let picture = picture(trace, results, as_position(first)..as_position(last));
        let written = picture.map_err(|error| io::Error::other(error.to_string())).and_then(|picture| {
            // As of a file that is created: the user's mask is taken off.
            let permissions = Permissions::from_mode(0o666);
            let file = tempfile::Builder::new().permissions(permissions).tempfile_in(&self.0)?;
            fs::write(file.path(), picture)?;
            Ok(file.persist(&path)?)
        });
        match written {
            Ok(_) => Ok(Some(path)),
            Err(source) => Err(PolicyError::Curves { path, source }),
        }
    }
}

fn picture(trace: &Trace, results: &Results, frames: Range<f64>) -> Result<String, Box<dyn error::Error>> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let references = trace.references.len() as u64;
    let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&plot)
        .caption(&trace.name, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(frames.log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("frames")
        .max_light_lines(0)
        .y_desc("hits in %")
        .x_label_formatter(&|frames| format!("{frames:.0}"))
        .draw()?;
    let (mut ours, mut others, mut y) = (0.., 0.., 60);
    for (contender, outcomes) in &results.rows {
        let number = if contender.is_kernels() { ours.next() } else { others.next() };
        let mut points: Vec<(f64, f64)> = results
            .frames
            .iter()
            .zip(outcomes)
            .map(|((frames, _), outcome)| (as_position(*frames), percent(outcome.hits as u64, references)))
            .collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let style = style(contender, number.unwrap_or(0));
        chart.draw_series(LineSeries::new(points, style))?;
        let name = Text::new(contender.name(), (30, y - 7), ("sans-serif", 13));
        legend.draw(&PathElement::new([(0, y), (22, y)], style))?;
        legend.draw(&name)?;
        y += 22;
    }
    area.present()?;
    drop((chart, plot, legend, area));
    Ok(svg)
}

#[expect(clippy::cast_precision_loss, reason = "frame numbers have 32 bits")]
fn as_position(frames: usize) -> f64 {
    frames as f64
}

/// Ours are thick, those that see every access are thin and darker, the optimum is black.
fn style(contender: &Contender, number: usize) -> ShapeStyle {
    /// Colours that differ for every reader (Okabe and Ito, 2008).
    const OURS: [RGBColor; 7] = [
        RGBColor(153, 153, 153),
        RGBColor(86, 180, 233),
        RGBColor(0, 114, 178),
        RGBColor(0, 158, 115),
        RGBColor(230, 159, 0),
        RGBColor(204, 121, 167),
        RGBColor(213, 94, 0),
    ];
    const FULL: [RGBColor; 5] = [
        RGBColor(90, 90, 90),
        RGBColor(20, 80, 120),
        RGBColor(0, 80, 60),
        RGBColor(120, 50, 0),
        RGBColor(110, 40, 100),
    ];
    match contender {
        Contender::Optimal => BLACK.stroke_width(1),
        Contender::Kernel(_) => OURS[number % OURS.len()].stroke_width(3),
        Contender::Full(..) => FULL[number % FULL.len()].stroke_width(1),
    }
}

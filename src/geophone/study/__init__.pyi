"""Made by docs/make_api.py from the names in __init__.py: what a type checker sees of this package."""

from geophone.study.demo import DEMO as DEMO
from geophone.study.file import StudyFile as StudyFile
from geophone.study.file import parse_study as parse_study
from geophone.study.file import read_study_file as read_study_file
from geophone.study.run import run_study as run_study
from geophone.study.stages import STAGES as STAGES
from geophone.study.stages import detect_stage as detect_stage
from geophone.study.stages import evidence_stage as evidence_stage
from geophone.study.stages import open_study as open_study
from geophone.study.stages import paper_stage as paper_stage
from geophone.study.stages import report_stage as report_stage
from geophone.study.stages import target_stage as target_stage
from geophone.workers import Workers as Workers

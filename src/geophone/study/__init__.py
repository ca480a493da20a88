"""Studies: their files, their stages in order, and how they are run and run again."""

from geophone.study.demo import DEMO
from geophone.study.file import StudyFile, parse_study, read_study_file
from geophone.study.run import STAGES, Engine, run_study
from geophone.study.stages import detect_stage, evidence_stage, open_study, report_stage, target_stage

__all__ = [
    "DEMO", "STAGES", "Engine", "StudyFile", "detect_stage", "evidence_stage",
    "open_study", "parse_study", "read_study_file",
    "report_stage", "run_study", "target_stage",
]  # fmt: skip

"""Studies: their files, their stages in order, and how they are run and run again."""

from geophone._lazy import lazy

_HOME = {
    "DEMO": "geophone.study.demo",
    "STAGES": "geophone.study.stages",
    "StudyFile": "geophone.study.file",
    "Workers": "geophone.workers",
    "detect_stage": "geophone.study.stages",
    "evidence_stage": "geophone.study.stages",
    "open_study": "geophone.study.stages",
    "paper_stage": "geophone.study.stages",
    "parse_study": "geophone.study.file",
    "read_study_file": "geophone.study.file",
    "report_stage": "geophone.study.stages",
    "run_study": "geophone.study.run",
    "target_stage": "geophone.study.stages",
}
__all__ = list(_HOME)
__getattr__, __dir__ = lazy(globals(), _HOME)
